skip_if_not_installed("RSQLite")
skip_if_not_installed("DBI")

numbers <- function(...) writeBin(as.double(c(...)), raw(), endian = "little")

# A ledger of one simulator with outputs of 0, 1 and 2 dimensions: a run that worked, one that
# failed and worked when tried again, one that gave only part, and one that failed.
write_ledger <- function(versions = "1") {
  path <- tempfile(fileext = ".sqlite")
  connection <- DBI::dbConnect(RSQLite::SQLite(), path)
  on.exit(DBI::dbDisconnect(connection))
  DBI::dbExecute(connection, "CREATE TABLE simulators (simulator_id INTEGER PRIMARY KEY, name TEXT,
    version TEXT, fingerprint TEXT, parameters TEXT, outputs TEXT)")
  DBI::dbExecute(connection, "CREATE TABLE runs (run_id INTEGER PRIMARY KEY, simulator_id INTEGER,
    theta BLOB, seed INTEGER, attempt INTEGER, status TEXT, seconds REAL, error TEXT, outputs BLOB,
    created TEXT)")
  for (version in versions) {
    DBI::dbExecute(connection, "INSERT INTO simulators (name, version, fingerprint, parameters, outputs)
      VALUES ('sir', ?, 'f' || ?, '[\"R0\", \"I 0\"]', '{\"total\": [], \"daily\": [3], \"contacts\": [2, 3]}')",
      params = list(version, version))
  }
  record <- function(theta, seed, attempt, status, error, outputs) {
    DBI::dbExecute(connection, "INSERT INTO runs (simulator_id, theta, seed, attempt, status, seconds,
      error, outputs) VALUES (1, ?, ?, ?, ?, .5, ?, ?)",
      params = list(list(theta), seed, attempt, status, error, list(outputs)))
  }
  record(numbers(3.6, 2), 2^52 + 1, 0, "ok", NA, numbers(7, 1:3, 11:16))
  record(numbers(1 / 3, 2), 1, 0, "failed", "timed out", NULL)
  record(numbers(1 / 3, 2), 1, 1, "ok", NA, numbers(8, 4:6, 21:26))
  record(numbers(3.6, 2), 2, 0, "partial", "daily is not finite", numbers(9, NaN, NaN, NaN, 31:36))
  record(numbers(3.6, 2), 3, 0, "failed", "no such luck", NULL)
  path
}

test_that("runs come with their parameters, seeds and reasons, the latest attempt of each", {
  runs <- read_runs(write_ledger(), outputs = FALSE)
  expect_named(runs, c("run_id", "R0", "I 0", "seed", "status", "seconds", "error"))
  expect_identical(runs$run_id, c(1L, 3L, 4L, 5L))
  expect_identical(runs$R0, c(3.6, 1 / 3, 3.6, 3.6))
  expect_identical(runs$seed, c(2^52 + 1, 1, 2, 3))
  expect_identical(runs$status, c("ok", "ok", "partial", "failed"))
  expect_identical(runs$error, c(NA, NA, "daily is not finite", "no such luck"))
})

test_that("outputs come in their shapes, NaN where a run did not give them", {
  runs <- read_runs(write_ledger())
  expect_identical(runs$total, c(7, 8, 9, NaN))
  expect_identical(runs$daily, rbind(c(1, 2, 3), c(4, 5, 6), NaN, NaN))
  expect_identical(runs$contacts[[1]], matrix(as.double(11:16), 2, byrow = TRUE))
  expect_identical(runs$contacts[[4]], matrix(NaN, 2, 3))
  expect_identical(dim(runs[2:3, ]$daily), c(2L, 3L))
})

test_that("a simulator is chosen by name, and by fingerprint where a name has several versions", {
  path <- write_ledger(versions = c("1", "2"))
  expect_error(read_runs(path), "exactly one simulator.*version 1 .fingerprint f1.; sir version 2")
  expect_error(read_runs(path, "sir"), "several versions of \"sir\": give simulator = \"a fingerprint\"")
  expect_error(read_runs(path, "seir"), "has no simulator \"seir\"")
  expect_identical(nrow(read_runs(path, "f1")), 4L)
  expect_identical(nrow(read_runs(path, "f2")), 0L)
})

test_that("what is not a ledger is refused with a sentence", {
  expect_error(read_runs(file.path(tempdir(), "nowhere.sqlite")), "no ledger at .*nowhere.sqlite")
  text <- tempfile()
  writeLines(rep("this is no database", 100), text)
  expect_error(read_runs(text), "is not a ledger of hetcal .*file is not a database")
  other <- tempfile()
  connection <- DBI::dbConnect(RSQLite::SQLite(), other)
  DBI::dbWriteTable(connection, "cars", datasets::cars)
  DBI::dbDisconnect(connection)
  expect_error(read_runs(other), "lacks the tables simulators and runs")
  newer <- write_ledger()
  connection <- DBI::dbConnect(RSQLite::SQLite(), newer)
  DBI::dbExecute(connection, "PRAGMA user_version = 2")
  DBI::dbDisconnect(connection)
  expect_error(read_runs(newer), "newer hetcal .schema 2")
})
