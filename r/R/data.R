#' Learning one's HIV result, an experiment by villages
#'
#' Malawi, 2004: vouchers drawn at random for coming to learn the result of an HIV test. The draw was done village by village.
#'
#' @format A data frame with 2,825 rows: `got` (came for the result, 0/1), `any` (had a voucher of any value, 0/1), `age` (years),
#'   `distvct` (distance to the centre, km), `hiv2004` (result, 0/1) and `villnum` (number of the village).
#' @source Thornton (2008), "The Demand for, and Impact of, Learning HIV Status", American Economic Review 98(5); as in the package
#'   causaldata (MIT).
#' @examples
#' head(thornton_hiv)
"thornton_hiv"
