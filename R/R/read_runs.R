#' Read the runs of a ledger
#'
#' The ledger is the SQLite file in which the Python side keeps every run of a
#' simulator: parameters, seed, status and what the simulator returned. A run
#' that was tried again shows its latest attempt only. The file is opened for
#' reading, also while a study writes to it.
#'
#' @param path The ledger's file.
#' @param simulator Name of the simulator, or its fingerprint where the ledger
#'   holds several versions of it. `NULL` will do where it holds only one.
#' @param outputs Whether to read the simulator's outputs.
#' @return A data frame in the order in which the runs were recorded, with
#'   `run_id`, a column a parameter, `seed`, `status` ("ok", "partial" or
#'   "failed"), `seconds`, `error`, and a column an output: numeric for a
#'   number, a matrix with a row a run for a vector, and a list of arrays for
#'   anything of more dimensions. Outputs that a run did not give are `NaN`.
#' @examples
#' \dontrun{
#' runs <- read_runs("results/flu.sqlite")
#' matplot(t(runs$in_bed[1:20, ]), type = "l")
#' }
#' @export
read_runs <- function(path, simulator = NULL, outputs = TRUE) {
  connection <- open_ledger(path)
  on.exit(DBI::dbDisconnect(connection))
  chosen <- choose_simulator(connection, path, simulator)
  parameters <- as.character(jsonlite::fromJSON(chosen$parameters))
  shapes <- jsonlite::fromJSON(chosen$outputs, simplifyVector = FALSE)
  rows <- DBI::dbGetQuery(connection, paste(
    "SELECT run_id, theta, seed, status, seconds, error", if (outputs) ", outputs",
    "FROM runs WHERE simulator_id = ? AND NOT EXISTS (",
    "SELECT 1 FROM runs AS later WHERE later.simulator_id = runs.simulator_id AND",
    "later.theta = runs.theta AND later.seed = runs.seed AND later.attempt > runs.attempt)",
    "ORDER BY run_id"
  ), params = list(chosen$simulator_id))
  rows$seed <- as.double(rows$seed)
  if (any(rows$seed > 2^53)) {
    warning("seeds beyond 2^53 lose digits as R's numbers: compare them in Python", call. = FALSE)
  }
  theta <- blob_matrix(rows$theta, length(parameters))
  colnames(theta) <- parameters
  runs <- data.frame(run_id = rows$run_id, theta, rows[c("seed", "status", "seconds", "error")],
                     check.names = FALSE)
  if (!outputs) {
    return(runs)
  }
  sizes <- vapply(shapes, function(shape) prod(1, unlist(shape)), numeric(1))
  flat <- blob_matrix(rows$outputs, sum(sizes))
  last <- cumsum(sizes)
  for (name in names(shapes)) {
    columns <- seq_len(sizes[[name]]) + last[[name]] - sizes[[name]]
    runs[[name]] <- shape_output(flat[, columns, drop = FALSE], unlist(shapes[[name]]))
  }
  runs
}

# A connection to a ledger, for reading; a sentence where there is none to be had.
open_ledger <- function(path) {
  for (package in c("DBI", "RSQLite")) {
    if (!requireNamespace(package, quietly = TRUE)) {
      stop("read_runs() needs the R package ", package, ": install.packages(\"", package, "\")",
           call. = FALSE)
    }
  }
  if (!file.exists(path)) {
    stop("there is no ledger at ", path, ": check the path", call. = FALSE)
  }
  connection <- DBI::dbConnect(RSQLite::SQLite(), path.expand(path), bigint = "numeric",
                               flags = RSQLite::SQLITE_RO, synchronous = NULL)
  tables <- tryCatch(DBI::dbListTables(connection), error = function(e) conditionMessage(e))
  if (!all(c("simulators", "runs") %in% tables)) {
    DBI::dbDisconnect(connection)
    stop(path, " is not a ledger of hetcal (",
         if (any(grepl(" ", tables))) tables else "it lacks the tables simulators and runs",
         "): check the path", call. = FALSE)
  }
  schema <- DBI::dbGetQuery(connection, "PRAGMA user_version")$user_version
  if (schema > 1) {
    DBI::dbDisconnect(connection)
    stop(path, " was written by a newer hetcal (schema ", schema, ", this one knows 1): ",
         "upgrade the R package hetcal", call. = FALSE)
  }
  connection
}

# The row of the simulator that is asked for, or of the only one.
choose_simulator <- function(connection, path, simulator) {
  known <- DBI::dbGetQuery(connection, "SELECT * FROM simulators ORDER BY simulator_id")
  chosen <- if (is.null(simulator)) {
    known
  } else {
    known[known$name == simulator | known$fingerprint == simulator, ]
  }
  if (nrow(chosen) == 1) {
    return(chosen)
  }
  held <- if (nrow(known) > 0) {
    paste0(known$name, " version ", known$version, " (fingerprint ", known$fingerprint, ")",
           collapse = "; ")
  } else {
    "none"
  }
  problem <- if (is.null(simulator)) {
    "does not hold exactly one simulator: name it by simulator = \"its name or fingerprint\""
  } else if (nrow(chosen) == 0) {
    paste0("has no simulator \"", simulator, "\"")
  } else {
    paste0("has several versions of \"", simulator, "\": give simulator = \"a fingerprint\"")
  }
  stop("the ledger ", path, " ", problem, "; it holds: ", held, call. = FALSE)
}

# Little-endian doubles of a list of blobs, a row a blob; NaN where there is none.
blob_matrix <- function(blobs, width) {
  present <- lengths(blobs) > 0
  if (any(lengths(blobs)[present] != 8 * width)) {
    stop("a run does not hold the ", width, " numbers that its simulator declares: ",
         "the ledger is damaged; restore it from a copy", call. = FALSE)
  }
  values <- matrix(NaN, length(blobs), width)
  bytes <- as.raw(unlist(blobs[present]))
  values[present, ] <- matrix(readBin(bytes, "double", sum(present) * width, endian = "little"),
                              ncol = width, byrow = TRUE)
  values
}

# Rows of raveled outputs in their declared shape; Python ravels the last index fastest.
shape_output <- function(flat, shape) {
  if (length(shape) == 0) {
    return(flat[, 1])
  }
  if (length(shape) == 1) {
    return(flat)
  }
  lapply(seq_len(nrow(flat)), function(row) {
    aperm(array(flat[row, ], rev(shape)), rev(seq_along(shape)))
  })
}
