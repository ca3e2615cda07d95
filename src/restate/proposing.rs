//! Putting down what is found, part by part.

use plumeline_sinks::delta::Rows;

use super::RestateError;

/// Lets `compute` find entries, and gives each part of them to `write`, numbered from 0.
///
/// # Errors
/// That of `write`, which ends it; else that of `compute`.
pub fn proposing<T, E: From<RestateError>>(
    mut write: impl FnMut(i64, &Rows) -> Result<(), E>,
    compute: impl FnOnce(&mut dyn FnMut(Rows) -> Result<(), RestateError>) -> Result<T, RestateError>,
) -> Result<T, E> {
    let (mut part, mut failed) = (0, None);
    let mut give = |rows: Rows| {
        let written = write(part, &rows);
        part += 1;
        written.map_err(|error| {
            failed = Some(error);
            RestateError::Ended
        })
    };
    let computed = compute(&mut give);
    match failed {
        Some(error) => Err(error),
        None => Ok(computed?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    enum Error {
        Disk,
        Restate,
    }

    impl From<RestateError> for Error {
        fn from(_: RestateError) -> Self {
            Self::Restate
        }
    }

    #[test]
    fn parts_are_numbered_and_an_error_of_writing_ends_it_and_is_told() {
        let mut written = Vec::new();
        let found = proposing(
            |part, _| {
                written.push(part);
                if part < 2 { Ok(()) } else { Err(Error::Disk) }
            },
            |give| (0..9).try_for_each(|_| give(Rows::Footprints(Vec::new()))),
        );
        assert!(matches!(found, Err(Error::Disk)), "{found:?}");
        assert_eq!(written, [0, 1, 2]);
        let found: Result<(), Error> = proposing(|_, _| Ok(()), |_| Err(RestateError::Incomplete));
        assert!(matches!(found, Err(Error::Restate)), "{found:?}");
    }
}
