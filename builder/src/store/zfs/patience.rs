//! Trying again what ZFS refuses as somebody still uses it.
//!
//! A process that has just ended, a look of Spotlight's, or zfs-fuse, which unmounts a moment after it has said so,
//! keep a dataset busy for some milliseconds.
use std::thread;
use std::time::Duration;

use super::failure::{Failure, Kind};

/// The first pause; each is twice the one before.
const FIRST: Duration = Duration::from_millis(2);
/// How many there are: eight seconds in all.
const PAUSES: u32 = 12;

/// Does `attempt` until it succeeds, or fails for another reason than that it is busy, or too often.
pub(super) fn patiently(mut attempt: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    for pause in 0..PAUSES {
        match attempt() {
            Err(failure) if failure.kind == Kind::Busy => thread::sleep(FIRST * 2_u32.pow(pause)),
            other => return other,
        }
    }
    attempt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> Failure {
        Failure { kind: Kind::Busy, said: "dataset is busy".into() }
    }

    #[test]
    fn what_is_busy_is_tried_again_and_what_fails_otherwise_is_not() {
        let mut left = 3;
        let done = patiently(|| {
            left -= 1;
            if left == 0 { Ok(()) } else { Err(busy()) }
        });
        assert_eq!((done, left), (Ok(()), 0));
        let mut tries = 0;
        let failed = patiently(|| {
            tries += 1;
            Err(Failure { kind: Kind::Full, said: "out of space".into() })
        });
        assert!(failed.is_err() && tries == 1);
    }
}
