#' htebridge: heterogeneous treatment effects from three sources in one table
#'
#' Start with [hte_install()] once, then [hte_study()] and [hte_compare()]; ask more with [hte_verb()]. The forest is
#' grown by grf in this session; regression, deep estimator and doubly robust rows are made by the Python package
#' hte_bridge in a process of its own.
#' @keywords internal
#' @importFrom grf causal_forest
"_PACKAGE"
