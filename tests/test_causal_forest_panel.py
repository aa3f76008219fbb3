

@pytest.mark.r
def test_the_bench_keeps_each_draw_and_writes_its_page(tmp_path, monkeypatch, capsys):
    from bench import panel_forest

    asked = ["--designs", "5_none_constant", "--trees", "50", "--out", str(tmp_path)]
    for draws in ("1", "2"):  # the second run goes on where the first ended
        monkeypatch.setattr("sys.argv", ["panel_forest", *asked, "--draws", draws])
        panel_forest.main()
    assert "5_none_constant" in capsys.readouterr().out
    found = pd.read_parquet(tmp_path / "panel_forest.parquet")
    assert found["draw"].tolist() == [1, 2]
    assert "--draws 2 --trees 50" in panel_forest.page(found)
