//! Starting a command so that it can be traced from its first instruction on.
//!
//! The example starts itself as a stand-in that waits at a gate, a named pipe. When the probe is attached the gate is opened and the stand-in
//! becomes the command, with the same process id, the same standard streams and no further descriptor. If the tracer dies first, the
//! stand-in sees the pipe's end and exits.
//!
//! The command leads a session of its own: what it starts can be ended with it (but for what leaves that session), and Ctrl-C reaches the
//! tracer alone, which then asks them all.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Child, Command, ExitCode, ExitStatus},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::{CWD, FileType, Mode, OFlags, mknodat},
    process::{
        Pid, Signal, kill_process, kill_process_group, set_parent_process_death_signal, setsid, test_kill_process_group,
    },
};
use tempfile::TempDir;

/// A command that was started.
pub(crate) struct Launched {
    child: Child,
    gate: File,
    /// Where the gate is.
    _place: TempDir,
    /// When we asked it to end.
    asked: Option<Instant>,
}

impl Launched {
    /// Start `command`, up to the gate.
    pub(crate) fn new(command: &[OsString]) -> io::Result<Self> {
        let place = tempfile::tempdir()?;
        let path = place.path().join("gate");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
        // For both, so that opening it does not wait for the other end.
        let gate = OpenOptions::new().read(true).write(true).open(&path)?;
        let child = Command::new(env::current_exe()?).arg(STAND_IN).arg(&path).args(command).spawn()?;
        Ok(Self { child, gate, _place: place, asked: None })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Open the gate.
    pub(crate) fn go(&mut self) -> io::Result<()> {
        self.gate.write_all(b"!")
    }

    /// Its exit status, if it has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Whether it has ended and, where we asked for that, all that it started too.
    pub(crate) fn gone(&mut self) -> bool {
        // One that cannot be asked is gone.
        let ended = !matches!(self.ended(), Ok(None));
        // The dead of the group stay for as long as nobody waits for them, so there is an end to this.
        let waits = self.asked.is_some_and(|since| since.elapsed() < PATIENCE * 2);
        ended && !(waits && self.pid_of().is_some_and(|pid| test_kill_process_group(pid).is_ok()))
    }

    /// Ask it and what it started to end; a second later, end them. Not to be called when it is [`gone`](Self::gone).
    pub(crate) fn end(&mut self) {
        let signal = match self.asked {
            None => Signal::TERM,
            Some(since) if since.elapsed() > PATIENCE => Signal::KILL,
            Some(_) => return,
        };
        self.asked.get_or_insert_with(Instant::now);
        let Some(pid) = self.pid_of() else { return };
        // It has no group before it reaches the gate. Until it is waited for the number is its own.
        if kill_process_group(pid, signal).is_err() && matches!(self.ended(), Ok(None)) {
            let _ = kill_process(pid, signal);
        }
    }

    fn pid_of(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Whether we asked it to end.
    pub(crate) fn asked_to_end(&self) -> bool {
        self.asked.is_some()
    }
}

/// Whoever goes away leaves nothing running.
impl Drop for Launched {
    fn drop(&mut self) {
        while !self.gone() {
            self.end();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// As shells have it: the command's own code, or 128 and the signal that ended it.
pub(crate) fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// If this process is a stand-in: wait at the gate, then become the command. Comes back only to say why not.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(STAND_IN)) {
        return None;
    }
    let (Some(gate), Some(program)) = (arguments.next(), arguments.next()) else { return Some(ExitCode::FAILURE) };
    match wait(Path::new(&gate)) {
        Ok(true) => {
            let error = Command::new(&program).args(arguments).exec();
            eprintln!("error: cannot run {}: {error}", program.display());
            Some(ExitCode::from(if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }))
        }
        // The tracer went away.
        Ok(false) => Some(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("error: cannot wait to be traced: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn wait(gate: &Path) -> io::Result<bool> {
    setsid()?;
    // A tracer that is killed can ask nobody to end.
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut gate = OpenOptions::new().read(true).custom_flags(flags).open(gate)?;
    loop {
        match gate.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(&gate, PollFlags::IN)], None)?;
            }
            read => return Ok(read? == 1),
        }
    }
}

const STAND_IN: &str = "__stand-in";
/// How long a command may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(1);
