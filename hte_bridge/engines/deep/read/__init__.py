"""What a fit answers: frames of estimates, diagnostics, importance of covariates."""
