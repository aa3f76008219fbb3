"""Models followed to some of the rows and weighed by what all say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hte_bridge as hb
from hte_bridge.engines.deep.canonical import Seen
from hte_bridge.engines.deep.gp.inducing import induced
from hte_bridge.engines.deep.gp.many_rows import Followed, of_other_kinds, pool_of
from hte_bridge.engines.deep.gp.model_average import approximated, candidates
from hte_bridge.engines.deep.gp.sample import Sample
from hte_bridge.engines.deep.gp.search import model_search
from hte_bridge.simulate import steps
from tests.helpers.studies import cross_section

ENGINE = hb.Deep(seed=1, draws=2, n_jobs=1, scale_rows=60)


@pytest.fixture(scope="module")
def searched():
    made = cross_section(steps(200, seed=3, p=5), propensity=0.5)
    seen = Seen.of(made, hb.Folds.make(made, 5, 1))
    samples = Sample.either(seen.study, np.full(made.n, 0.5))
    first = model_search(samples, ENGINE, made.binary)
    return first, candidates(first, 1, 1)


def test_both_kinds_of_surface_are_followed(searched):
    _, tried = searched
    smooth = [pair for pair in tried if "edged" not in pair[0].model.form.label]
    more = [each() for each in of_other_kinds(smooth)]
    assert more
    assert all(each.model.form.each_kind == ("edged", "edged") for each in more)
    assert not of_other_kinds([*smooth, *approximated(of_other_kinds(smooth), 1)])


def test_all_rows_say_what_a_model_is_worth_and_count_as_those_that_are_followed(searched):
    first, tried = searched
    some = replace(first, sample=first.sample.thinned(50, 1))
    how, (candidate, laplace) = Followed(first, some, pool_of(first.sample.bare.x, 1), ENGINE), tried[0]
    model = replace(candidate.model, rows=some.sample.rows(candidate.model.form))
    found = how.on_all(replace(candidate, model=model), laplace)[1]
    at, whole = found.mode.theta + some.shift(candidate), how.whole(model)
    told = induced(1.0, at, whole, how.points(whole, at)).log_posterior
    beyond = found.log_evidence - found.mode.value
    assert whole.rows.n == 200
    assert found.log_evidence == pytest.approx((told + beyond) / 4)
