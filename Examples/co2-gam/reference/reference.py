"""Reference values for co2-gam, by another route.

The program writes the restricted likelihood with the penalised normal equations, X'X + S, and
minimises it by a method of its own. Here the model is a mixed model, as in Patterson & Thompson
(1971):

    y = F b + T u + C v + e,    u ~ N(0, s2 / lt),  v ~ N(0, s2 / ls),  e ~ N(0, s2)

F holds the two directions that no penalty sees, T and C the B-splines (from scipy) times a
pseudoinverse of the differences. The criterion is computed from the dense covariance of all n
observations,

    V = I + T T' / lt + C C' / ls
    2 L = (n - 2) (log(2 pi s2) + 1) + log|V| + log|F' V^-1 F|,   s2 = y' P y / (n - 2)

and its minimum is where its gradient, also in terms of V and P, has a root. No formula and no code
is shared with the program; what is shared is the model and the scale of F, whose columns are the
B-splines times orthonormal coefficients.

    python reference.py ../data/co2.csv reference.json
"""

import csv
import datetime
import json
import sys

import numpy as np
import scipy.linalg
import scipy.optimize
from scipy.interpolate import BSpline

DEGREE = 3
NULL_DIMENSION = 2
TIMES = [1958.5, 1964.25, 1975.6, 1977.0, 1990.3, 2001.9]


def read_record(path):
    """Decimal years and ppm of the weeks that have a value."""
    times, values = [], []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["co2"] == "":
                continue
            date = datetime.datetime.strptime(row["date"], "%Y%m%d").date()
            start, end = datetime.date(date.year, 1, 1), datetime.date(date.year + 1, 1, 1)
            times.append(date.year + (date - start).days / (end - start).days)
            values.append(float(row["co2"]))
    return np.array(times), np.array(values)


def trend_basis(times, low, high, segments):
    width = (high - low) / segments
    knots = low + width * np.arange(-DEGREE, segments + DEGREE + 1)
    return BSpline.design_matrix(times, knots, DEGREE, extrapolate=True).toarray()


def season_basis(times, count):
    knots = np.arange(-DEGREE, count + DEGREE + 1) / count
    open_basis = BSpline.design_matrix(times - np.floor(times), knots, DEGREE).toarray()
    ring = open_basis[:, :count].copy()
    ring[:, :DEGREE] += open_basis[:, count:]
    return ring


def trend_effects(count):
    """Orthonormal coefficients without penalty, and the pseudoinverse of the second differences.

    Summing twice undoes the differences exactly, in integers; taking the straight lines out of that
    leaves the pseudoinverse, far more exactly than its singular values would.
    """
    line = np.column_stack([np.ones(count), np.arange(count) - (count - 1) / 2])
    null = line / np.linalg.norm(line, axis=0)
    lag = np.arange(count)[:, None] - np.arange(count - 2)[None, :] - 1
    sums = np.where(lag > 0, lag, 0).astype(float)
    assert np.array_equal(np.diff(sums, n=2, axis=0), np.eye(count - 2))
    return null, sums - null @ (null.T @ sums)


def season_effects(count):
    """The pseudoinverse of the cyclic second differences, whose columns add up to zero."""
    identity = np.eye(count)
    return np.linalg.pinv(np.roll(identity, 1, 1) + np.roll(identity, -1, 1) - 2 * identity)


class MixedModel:
    def __init__(self, times, values, low, high, segments, count):
        self.low, self.high, self.segments, self.count = low, high, segments, count
        self.n = len(values)
        self.intercept = values.mean()
        self.y = values - self.intercept
        trend = trend_basis(times, low, high, segments)
        self.null, self.trend_inverse = trend_effects(trend.shape[1])
        self.season_inverse = season_effects(count)
        self.fixed = trend @ self.null
        self.random = [
            trend @ self.trend_inverse,
            season_basis(times, count) @ self.season_inverse,
        ]
        self.kernels = [z @ z.T for z in self.random]

    def solve(self, point):
        """Everything that belongs to (log lt, log ls)."""
        parts = [np.exp(-rho) * kernel for rho, kernel in zip(point, self.kernels)]
        covariance = np.eye(self.n) + parts[0] + parts[1]
        factor = scipy.linalg.cholesky(covariance, lower=True)
        inverse = scipy.linalg.cho_solve((factor, True), np.eye(self.n))
        weighted = inverse @ self.fixed
        information = self.fixed.T @ weighted
        projection = inverse - weighted @ np.linalg.solve(information, weighted.T)
        residuals = projection @ self.y
        freedom = self.n - NULL_DIMENSION
        variance = self.y @ residuals / freedom
        criterion = 0.5 * (
            freedom * (np.log(2 * np.pi * variance) + 1)
            + 2 * np.log(np.diag(factor)).sum()
            + np.linalg.slogdet(information)[1]
        )
        gradient = [
            0.5 * (residuals @ part @ residuals / variance - np.sum(projection * part))
            for part in parts
        ]
        slope = np.linalg.solve(information, weighted.T @ self.y)
        return criterion, np.array(gradient), variance, projection, residuals, slope

    def fit(self):
        found = scipy.optimize.root(
            lambda point: self.solve(point)[1], [2.0, 2.5], method="hybr", options={"xtol": 1e-12}
        )
        self.point = found.x
        solution = self.solve(self.point)
        self.criterion, self.gradient, self.variance, projection, residuals, slope = solution
        assert np.abs(self.gradient).max() < 1e-6, (found.message, self.gradient)
        self.degrees = self.n - np.trace(projection)
        effects = [np.exp(-rho) * z.T @ residuals for rho, z in zip(self.point, self.random)]
        self.trend = self.null @ slope + self.trend_inverse @ effects[0]
        self.season = self.season_inverse @ effects[1]

    def predict(self, times):
        trend = trend_basis(times, self.low, self.high, self.segments) @ self.trend
        return self.intercept + trend, season_basis(times, self.count) @ self.season


def describe(times, values, year, knots_per_year, count):
    low, high = times.min(), times.max()
    segments = round((high - low) * knots_per_year)
    held_out = np.floor(times) == (year or 0)
    model = MixedModel(times[~held_out], values[~held_out], low, high, segments, count)
    model.fit()
    trend, season = model.predict(np.array(TIMES))
    result = {
        "year": year or 0,
        "trendKnotsPerYear": knots_per_year,
        "seasonFunctions": count,
        "criterion": model.criterion,
        "logLambda": list(model.point),
        "sigma": float(np.sqrt(model.variance)),
        "effectiveDegrees": float(model.degrees),
        "times": TIMES,
        "trend": list(trend),
        "season": list(season),
        "heldOut": int(held_out.sum()),
    }
    if year:
        trend, season = model.predict(times[held_out])
        errors = values[held_out] - trend - season
        result["rmse"] = float(np.sqrt(np.mean(errors**2)))
        result["mean"] = float(np.mean(errors))
    print(year, knots_per_year, model.criterion, model.point, model.gradient, file=sys.stderr)
    return result


def main():
    times, values = read_record(sys.argv[1])
    cases = [(year, 13, 48) for year in (None, 1964, 1977, 2001)]
    cases += [(year, 2, 12) for year in (None, 1977, 1999)]
    fits = [describe(times, values, *case) for case in cases]
    with open(sys.argv[2], "w") as file:
        json.dump({"observations": len(values), "fits": fits}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
