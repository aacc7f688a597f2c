//! The FUSE protocol: each request is decoded, done by [`crate::fs`], and its outcome encoded. No logic here.
mod convert;
mod passthrough;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    IoctlFlags, KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyStatx, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use nix::errno::Errno;
use tracing::debug;

use self::convert::{attributes, errno, kind_of, time_change};
use self::passthrough::Passthrough;
use crate::backing::Stat;
use crate::caller::Caller;
use crate::fs::{Change, Entry, FileSystem, Lookup, OpenFile};
use crate::own_threads::OwnThreads;
use crate::platform::{self, Kernel};
use crate::statistics::Kind;

/// An inode number is used again only with another node id, so generations tell nothing more.
const GENERATION: Generation = Generation(0);

/// Requests of one mount.
#[derive(Debug)]
pub(crate) struct Requests {
    fs: Arc<FileSystem>,
    passthrough: Passthrough,
    threads: OwnThreads,
}

impl Requests {
    /// Serves `fs`; `passthrough` lets the kernel read and write files below by itself where it can.
    pub(crate) fn new(fs: Arc<FileSystem>, passthrough: bool) -> Self {
        Self { fs, passthrough: Passthrough::new(passthrough), threads: OwnThreads::default() }
    }

    /// The mount is there, and this is how to tell its kernel side things.
    pub(crate) fn connected(&self, kernel: Kernel) {
        self.fs.connected(kernel);
    }

    /// Who asks.
    ///
    /// # Errors
    /// `ELOOP` if it is the daemon itself, which would wait for its own answer; `ENOTSUP` for services that
    /// index volumes.
    fn caller(&self, request: &Request) -> Result<Caller, Errno> {
        self.threads.refuse_own(request.pid())?;
        if platform::is_indexer(request.pid()) {
            return Err(Errno::ENOTSUP);
        }
        Ok(Caller { uid: request.uid(), gid: request.gid(), pid: request.pid() })
    }

    /// Answers with a new file, which is open as `handle`.
    fn reply_created(
        &self,
        reply: ReplyCreate,
        lifetime: Duration,
        stat: &Stat,
        handle: u64,
        file: &OpenFile,
    ) {
        let (attributes, node, handle) = (attributes(stat), &file.node, FileHandle(handle));
        match self.passthrough.opened(file, || reply.open_backing(file.fd())) {
            Some(backing) => {
                let flags = FopenFlags::FOPEN_NOFLUSH;
                reply.created_passthrough(&lifetime, &attributes, GENERATION, handle, flags, &backing);
            }
            None => {
                node.note_cached();
                let flags = convert::cached_open(node.view.private);
                reply.created(&lifetime, &attributes, GENERATION, handle, flags);
            }
        }
    }
}

fn reply_entry(reply: ReplyEntry, outcome: Result<Entry, Errno>) {
    match outcome {
        Ok(entry) => reply.entry_with_ttls(
            &entry.attributes.lifetime,
            &entry.name_lifetime,
            &attributes(&entry.attributes.stat),
            GENERATION,
        ),
        Err(e) => reply.error(errno(e)),
    }
}

fn reply_empty(reply: ReplyEmpty, outcome: Result<(), Errno>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(e) => reply.error(errno(e)),
    }
}

fn reply_xattr(reply: ReplyXattr, size: u32, outcome: Result<Vec<u8>, Errno>) {
    match outcome {
        Ok(value) if size == 0 => reply.size(u32::try_from(value.len()).unwrap_or(u32::MAX)),
        Ok(value) if value.len() > size as usize => reply.error(errno(Errno::ERANGE)),
        Ok(value) => reply.data(&value),
        Err(e) => reply.error(errno(e)),
    }
}

impl Filesystem for Requests {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_ATOMIC_O_TRUNC
            | InitFlags::FUSE_AUTO_INVAL_DATA
            | InitFlags::FUSE_ASYNC_DIO
            | InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_CACHE_SYMLINKS
            // The file system below applies the umask, or the default ACL instead of it.
            | InitFlags::FUSE_DONT_MASK
            | InitFlags::FUSE_POSIX_ACL
            // Without FUSE_READDIRPLUS_AUTO: we know better than the kernel who wants to know more than names.
            | InitFlags::FUSE_DO_READDIRPLUS
            // Acting as the caller clears set-id bits as the kernel would: spares a request for each write.
            | InitFlags::FUSE_HANDLE_KILLPRIV_V2;
        let _ = config.add_capabilities(wanted & config.capabilities());
        if config.set_max_stack_depth(1).is_err()
            || config.add_capabilities(InitFlags::FUSE_PASSTHROUGH).is_err()
        {
            debug!("no kernel passthrough: the daemon moves the bytes");
            self.passthrough.disable();
        }
        if !config.capabilities().contains(InitFlags::FUSE_HAS_EXPIRE_ONLY) {
            self.fs.cannot_be_told();
        }
        let _ = config.set_max_write(1024 * 1024);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _timing = self.fs.statistics.time(Kind::Lookup);
        let found = self.caller(request).and_then(|caller| self.fs.lookup(&caller, parent.0, name));
        match found {
            Ok(Lookup::Found(entry)) => reply_entry(reply, Ok(entry)),
            Ok(Lookup::Absent(lifetime)) if !lifetime.is_zero() => {
                // Node id 0 tells the kernel that the name is absent, for that long.
                reply.entry(&lifetime, &convert::absent(), GENERATION);
            }
            Ok(Lookup::Absent(_)) => reply.error(errno(Errno::ENOENT)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn forget(&self, _request: &Request, ino: INodeNo, nlookup: u64) {
        let _timing = self.fs.statistics.time(Kind::Forget);
        self.fs.forget(ino.0, nlookup);
    }

    fn getattr(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let _timing = self.fs.statistics.time(Kind::Getattr);
        let found = self.caller(request).and_then(|_| self.fs.getattr(ino.0, fh.map(|fh| fh.0)));
        match found {
            Ok(found) => reply.attr(&found.lifetime, &attributes(&found.stat)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn statx(&self, request: &Request, ino: INodeNo, fh: Option<FileHandle>, reply: ReplyStatx) {
        let _timing = self.fs.statistics.time(Kind::Statx);
        let found = self.caller(request).and_then(|_| self.fs.getattr(ino.0, fh.map(|fh| fh.0)));
        match found {
            Ok(found) => {
                reply.statx(&found.lifetime, &attributes(&found.stat), found.stat.btime.is_some());
            }
            Err(e) => reply.error(errno(e)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let _timing = self.fs.statistics.time(Kind::Setattr);
        let (atime, mtime) = (atime.map(time_change), mtime.map(time_change));
        let change = Change { mode, uid, gid, size, atime, mtime };
        let fh = fh.map(|fh| fh.0);
        match self.caller(request).and_then(|caller| self.fs.setattr(&caller, ino.0, fh, &change)) {
            Ok(now) => reply.attr(&now.lifetime, &attributes(&now.stat)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn readlink(&self, request: &Request, ino: INodeNo, reply: ReplyData) {
        let _timing = self.fs.statistics.time(Kind::Readlink);
        match self.caller(request).and_then(|caller| self.fs.readlink(&caller, ino.0)) {
            Ok(target) => reply.data(target.as_bytes()),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let _timing = self.fs.statistics.time(Kind::Mknod);
        let caller = self.caller(request);
        let made = caller.and_then(|caller| self.fs.mknod(&caller, parent.0, name, (mode, umask), rdev));
        reply_entry(reply, made);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        let _timing = self.fs.statistics.time(Kind::Mkdir);
        let caller = self.caller(request);
        reply_entry(reply, caller.and_then(|caller| self.fs.mkdir(&caller, parent.0, name, mode, umask)));
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _timing = self.fs.statistics.time(Kind::Unlink);
        reply_empty(reply, self.caller(request).and_then(|caller| self.fs.unlink(&caller, parent.0, name)));
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _timing = self.fs.statistics.time(Kind::Rmdir);
        reply_empty(reply, self.caller(request).and_then(|caller| self.fs.rmdir(&caller, parent.0, name)));
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let _timing = self.fs.statistics.time(Kind::Symlink);
        let caller = self.caller(request);
        let made = caller.and_then(|caller| self.fs.symlink(&caller, parent.0, name, target.as_os_str()));
        reply_entry(reply, made);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let _timing = self.fs.statistics.time(Kind::Rename);
        let (from, to) = ((parent.0, name), (newparent.0, newname));
        let caller = self.caller(request);
        reply_empty(reply, caller.and_then(|caller| self.fs.rename(&caller, from, to, flags.bits())));
    }

    fn link(&self, request: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let _timing = self.fs.statistics.time(Kind::Link);
        let caller = self.caller(request);
        reply_entry(reply, caller.and_then(|caller| self.fs.link(&caller, ino.0, newparent.0, newname)));
    }

    fn open(&self, request: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let _timing = self.fs.statistics.time(Kind::Open);
        let opened = self.caller(request).and_then(|caller| self.fs.open(&caller, ino.0, flags.0));
        let (handle, file) = match opened {
            Ok(opened) => opened,
            Err(e) => return reply.error(errno(e)),
        };
        let node = &file.node;
        match self.passthrough.opened(&file, || reply.open_backing(file.fd())) {
            Some(backing) => {
                reply.opened_passthrough(FileHandle(handle), FopenFlags::FOPEN_NOFLUSH, &backing);
            }
            None => {
                node.note_cached();
                reply.opened(FileHandle(handle), convert::cached_open(node.view.private));
            }
        }
    }

    fn read(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _timing = self.fs.statistics.time(Kind::Read);
        self.fs.read(fh.0, offset, size as usize, |read| match read {
            Ok(data) => reply.data(data),
            Err(e) => reply.error(errno(e)),
        });
    }

    fn write(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let _timing = self.fs.statistics.time(Kind::Write);
        let from_cache = write_flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let caller = self.caller(request);
        match caller.and_then(|caller| self.fs.write(&caller, fh.0, offset, data, from_cache)) {
            Ok(written) => reply.written(written),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn flush(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _owner: LockOwner,
        reply: ReplyEmpty,
    ) {
        // Writes are with the file system below already; refused once, it is not sent again.
        reply.error(errno(Errno::ENOSYS));
    }

    fn release(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let _timing = self.fs.statistics.time(Kind::Release);
        if let Some(node) = self.fs.release(fh.0) {
            self.passthrough.released(node);
        }
        reply.ok();
    }

    fn fsync(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let _timing = self.fs.statistics.time(Kind::Fsync);
        reply_empty(reply, self.fs.fsync(fh.0, datasync));
    }

    fn opendir(&self, request: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let _timing = self.fs.statistics.time(Kind::Opendir);
        match self.caller(request).and_then(|caller| self.fs.opendir(&caller, ino.0)) {
            Ok((handle, keep)) => reply.opened(FileHandle(handle), convert::directory_open(keep)),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn readdir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let _timing = self.fs.statistics.time(Kind::Readdir);
        let listed = self.fs.readdir(fh.0, offset, |entry| {
            !reply.add(INodeNo(entry.ino), entry.position, kind_of(entry.kind), entry.name)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn readdirplus(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let _timing = self.fs.statistics.time(Kind::Readdirplus);
        let listed = self.caller(request).and_then(|caller| {
            self.fs.readdir_looked_up(&caller, fh.0, offset, |entry, found| match found {
                Some(found) => !reply.add_with_ttls(
                    entry.position,
                    entry.name,
                    &found.attributes.lifetime,
                    &found.name_lifetime,
                    &attributes(&found.attributes.stat),
                    GENERATION,
                ),
                None => !reply.add_bare(INodeNo(entry.ino), entry.position, kind_of(entry.kind), entry.name),
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn releasedir(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        reply: ReplyEmpty,
    ) {
        let _timing = self.fs.statistics.time(Kind::Releasedir);
        self.fs.releasedir(fh.0);
        reply.ok();
    }

    fn fsyncdir(&self, _request: &Request, _ino: INodeNo, fh: FileHandle, datasync: bool, reply: ReplyEmpty) {
        let _timing = self.fs.statistics.time(Kind::Fsyncdir);
        reply_empty(reply, self.fs.fsyncdir(fh.0, datasync));
    }

    fn statfs(&self, request: &Request, ino: INodeNo, reply: ReplyStatfs) {
        let _timing = self.fs.statistics.time(Kind::Statfs);
        match self.caller(request).and_then(|caller| self.fs.statfs(&caller, ino.0)) {
            Ok(stat) => convert::reply_statfs(reply, &stat),
            Err(e) => reply.error(errno(e)),
        }
    }

    fn setxattr(
        &self,
        request: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
        reply: ReplyEmpty,
    ) {
        let _timing = self.fs.statistics.time(Kind::Setxattr);
        let caller = self.caller(request);
        reply_empty(reply, caller.and_then(|caller| self.fs.setxattr(&caller, ino.0, name, value, flags)));
    }

    fn getxattr(&self, request: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let _timing = self.fs.statistics.time(Kind::Getxattr);
        let caller = self.caller(request);
        reply_xattr(reply, size, caller.and_then(|caller| self.fs.getxattr(&caller, ino.0, name)));
    }

    fn listxattr(&self, request: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let _timing = self.fs.statistics.time(Kind::Listxattr);
        let caller = self.caller(request);
        reply_xattr(reply, size, caller.and_then(|caller| self.fs.listxattr(&caller, ino.0)));
    }

    fn removexattr(&self, request: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _timing = self.fs.statistics.time(Kind::Removexattr);
        let caller = self.caller(request);
        reply_empty(reply, caller.and_then(|caller| self.fs.removexattr(&caller, ino.0, name)));
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let _timing = self.fs.statistics.time(Kind::Create);
        let caller = self.caller(request);
        let created = caller.and_then(|caller| self.fs.create(&caller, parent.0, name, (mode, umask), flags));
        match created {
            Ok((entry, handle, file)) => {
                let lifetime = entry.name_lifetime.min(entry.attributes.lifetime);
                self.reply_created(reply, lifetime, &entry.attributes.stat, handle, &file);
            }
            Err(e) => reply.error(errno(e)),
        }
    }

    fn tmpfile(
        &self,
        request: &Request,
        parent: INodeNo,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let _timing = self.fs.statistics.time(Kind::Tmpfile);
        let caller = self.caller(request);
        match caller.and_then(|caller| self.fs.create_nameless(&caller, parent.0, (mode, umask), flags)) {
            Ok((shown, handle, file)) => {
                self.reply_created(reply, shown.lifetime, &shown.stat, handle, &file);
            }
            Err(e) => reply.error(errno(e)),
        }
    }

    fn fallocate(
        &self,
        request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let _timing = self.fs.statistics.time(Kind::Fallocate);
        let caller = self.caller(request);
        reply_empty(
            reply,
            caller.and_then(|caller| self.fs.fallocate(&caller, fh.0, (offset, length), mode)),
        );
    }

    fn lseek(
        &self,
        _request: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let _timing = self.fs.statistics.time(Kind::Lseek);
        match self.fs.seek(fh.0, offset, whence) {
            Ok(offset) => reply.offset(offset),
            Err(e) => reply.error(errno(e)),
        }
    }

    /// Files have none. Whoever asks whether a file is a terminal asks this.
    fn ioctl(
        &self,
        _request: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _flags: IoctlFlags,
        _command: u32,
        _data: &[u8],
        _out_size: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(errno(Errno::ENOTTY));
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _ino_in: INodeNo,
        fh_in: FileHandle,
        offset_in: u64,
        _ino_out: INodeNo,
        fh_out: FileHandle,
        offset_out: u64,
        len: u64,
        _flags: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let _timing = self.fs.statistics.time(Kind::CopyFileRange);
        let (from, to) = ((fh_in.0, offset_in), (fh_out.0, offset_out));
        match self.caller(request).and_then(|caller| self.fs.copy_range(&caller, from, to, len)) {
            Ok(copied) => reply.written(copied),
            Err(e) => reply.error(errno(e)),
        }
    }
}
