//! Reading from a pipe that may stay silent, with an eye on Ctrl-C.

use std::{
    fs::File,
    io::{self, Read},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::stop::Stop;

/// A file or pipe whose end is where the end was asked for.
pub(crate) struct Stoppable(pub(crate) File, pub(crate) Stop);

impl Read for Stoppable {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        while !self.1.asked() {
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&WAIT)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return self.0.read(to),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(0)
    }
}
