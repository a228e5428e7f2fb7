//! How the examples end: exit codes and messages.

use std::{error::Error, fmt::Write as _, io, process::ExitCode};

/// What stops an example.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The exit code for `result`, whose error is printed with its causes.
pub(crate) fn code(result: Result<ExitCode, Failure>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(failure) if closed_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", chain(&*failure));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// Whether whoever read our output went away.
pub(crate) fn closed_pipe(failure: &(dyn Error + 'static)) -> bool {
    failure.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
