#define _GNU_SOURCE
#include "CLinux.h"
#include "faults.h"

#include <malloc.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

const int linux_O_PATH = O_PATH;
const int linux_O_DIRECTORY = O_DIRECTORY;
const int linux_O_NOFOLLOW = O_NOFOLLOW;
const int linux_O_NONBLOCK = O_NONBLOCK;

// Not in the kernel headers of every distribution that we build on.
#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x00002000
#endif
#ifndef FS_CASEFOLD_FL
#define FS_CASEFOLD_FL 0x40000000
#endif

#define RESULT(call)                                                                                                   \
    do {                                                                                                               \
        long long result = (long long)(call);                                                                          \
        return result < 0 ? -errno : result;                                                                           \
    } while (0)

// ---- calls that change nothing ----

int linux_open(int dir, const char *path, int flags) { RESULT(openat(dir, path, flags | O_CLOEXEC)); }

int linux_open_beneath(int dir, const char *path, int flags) {
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    RESULT(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

int linux_close(int fd) { RESULT(close(fd)); }

int linux_duplicate(int fd) { RESULT(fcntl(fd, F_DUPFD_CLOEXEC, 3)); }

static int stat_with(int dir, const char *path, int flags, linux_stat *result) {
    struct statx s;
    if (statx(dir, path, flags | AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, &s) < 0) return -errno;
    result->device = makedev(s.stx_dev_major, s.stx_dev_minor); // as st_dev has it, and so restic
    result->inode = s.stx_ino;
    // Kernels before 5.8 do not tell the mount: then the device alone has to do.
    result->mount = s.stx_mask & STATX_MNT_ID ? s.stx_mnt_id : 0;
    result->size = s.stx_size;
    result->blocks = s.stx_blocks;
    result->modified_seconds = s.stx_mtime.tv_sec;
    result->modified_nanoseconds = s.stx_mtime.tv_nsec;
    result->changed_seconds = s.stx_ctime.tv_sec;
    result->changed_nanoseconds = s.stx_ctime.tv_nsec;
    result->mode = s.stx_mode;
    result->user = s.stx_uid;
    result->group = s.stx_gid;
    result->links = s.stx_nlink;
    result->represented_major = s.stx_rdev_major;
    result->represented_minor = s.stx_rdev_minor;
    result->immutable = (s.stx_attributes & STATX_ATTR_IMMUTABLE) != 0;
    result->append_only = (s.stx_attributes & STATX_ATTR_APPEND) != 0;
    result->mount_root = (s.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    return 0;
}

int linux_stat_at(int dir, const char *path, linux_stat *result) {
    return stat_with(dir, path, AT_SYMLINK_NOFOLLOW, result);
}

int linux_stat_following(int dir, const char *path, linux_stat *result) { return stat_with(dir, path, 0, result); }

int linux_filesystem_of(int fd, linux_filesystem *result) {
    struct statfs s;
    if (fstatfs(fd, &s) < 0) return -errno;
    result->magic = (unsigned long)s.f_type & 0xffffffffUL;
    memcpy(&result->identity, &s.f_fsid, sizeof result->identity);
    result->block_size = (unsigned long long)s.f_bsize;
    result->blocks_available = s.f_bavail;
    result->inodes = s.f_files;
    result->inodes_free = s.f_ffree;
    result->read_only = (s.f_flags & 1) != 0; // ST_RDONLY
    return 0;
}

long linux_list(int fd, void *buffer, unsigned long size) { RESULT(syscall(SYS_getdents64, fd, buffer, size)); }

int linux_next_dirent(const void *buffer, long filled, long *offset, linux_dirent *result) {
    if (*offset >= filled) return 0;
    const struct dirent64 *entry = (const void *)((const char *)buffer + *offset);
    *offset += entry->d_reclen;
    result->inode = entry->d_ino;
    result->name = entry->d_name;
    result->name_length = (unsigned int)strlen(entry->d_name);
    result->type = entry->d_type;
    return 1;
}

long linux_readlink(int dir, const char *path, char *buffer, unsigned long size) {
    RESULT(readlinkat(dir, path, buffer, size));
}

long linux_read(int fd, void *buffer, unsigned long size) { RESULT(read(fd, buffer, size)); }

long linux_pread(int fd, void *buffer, unsigned long size, long long offset) {
    RESULT(pread(fd, buffer, size, offset));
}

long long linux_seek_data(int fd, long long offset) { RESULT(lseek(fd, offset, SEEK_DATA)); }

long long linux_seek_hole(int fd, long long offset) { RESULT(lseek(fd, offset, SEEK_HOLE)); }

void linux_start_writing_out(int fd, long long offset, long long size) {
    sync_file_range(fd, offset, size, SYNC_FILE_RANGE_WRITE);
}

void linux_advise_sequential(int fd) { posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); }

long linux_list_xattrs(int fd, char *buffer, unsigned long size) { RESULT(flistxattr(fd, buffer, size)); }

long linux_get_xattr(int fd, const char *name, void *buffer, unsigned long size) {
    RESULT(fgetxattr(fd, name, buffer, size));
}

// A path to `name` in `dir` for calls that take no directory descriptor. A name has at most 255 bytes.
struct proc_path {
    char bytes[320];
};
static const char *proc_path(struct proc_path *path, int dir, const char *name) {
    snprintf(path->bytes, sizeof path->bytes, "/proc/self/fd/%d/%s", dir, name);
    return path->bytes;
}

long linux_list_xattrs_at(int dir, const char *name, char *buffer, unsigned long size) {
    struct proc_path path;
    RESULT(llistxattr(proc_path(&path, dir, name), buffer, size));
}

long linux_get_xattr_at(int dir, const char *name, const char *attribute, void *buffer, unsigned long size) {
    struct proc_path path;
    RESULT(lgetxattr(proc_path(&path, dir, name), attribute, buffer, size));
}

int linux_folds_case(int fd) {
    int flags = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0) return 0;
    return (flags & FS_CASEFOLD_FL) != 0;
}

int linux_lock(int fd, int exclusive, int wait) {
    RESULT(flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB)));
}

int linux_lock_range(int fd, long long start, long long length) {
    struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    RESULT(fcntl(fd, F_OFD_SETLK, &range));
}

void linux_sleep(unsigned int milliseconds) {
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = (milliseconds % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

static long copy_name(const char *name, char *buffer, unsigned long size) {
    unsigned long length = strlen(name);
    if (length >= size) return -ENAMETOOLONG;
    memcpy(buffer, name, length + 1);
    return (long)length;
}

long linux_user_name(unsigned int user, char *buffer, unsigned long size) {
    struct passwd entry, *found = NULL;
    char space[4096];
    int error = getpwuid_r(user, &entry, space, sizeof space, &found);
    if (!found) return -(error ? error : ENOENT);
    return copy_name(entry.pw_name, buffer, size);
}

long linux_group_name(unsigned int group, char *buffer, unsigned long size) {
    struct group entry, *found = NULL;
    char space[16384];
    int error = getgrgid_r(group, &entry, space, sizeof space, &found);
    if (!found) return -(error ? error : ENOENT);
    return copy_name(entry.gr_name, buffer, size);
}

long long linux_user_id(const char *name) {
    struct passwd entry, *found = NULL;
    char space[4096];
    int error = getpwnam_r(name, &entry, space, sizeof space, &found);
    return found ? (long long)entry.pw_uid : -(error ? error : ENOENT);
}

long long linux_group_id(const char *name) {
    struct group entry, *found = NULL;
    char space[16384];
    int error = getgrnam_r(name, &entry, space, sizeof space, &found);
    return found ? (long long)entry.gr_gid : -(error ? error : ENOENT);
}

unsigned int linux_effective_user(void) { return geteuid(); }

unsigned int linux_effective_group(void) { return getegid(); }

int linux_groups(unsigned int *groups, int size) { RESULT(getgroups(size, groups)); }

int linux_may_change(int dir, const char *path) { RESULT(faccessat(dir, path, W_OK | X_OK, AT_EACCESS)); }

const char *linux_error_text(int number) {
    const char *text = strerrordesc_np(number);
    return text ? text : "unknown error";
}

const char *linux_error_name(int number) {
    const char *name = strerrorname_np(number);
    return name ? name : "EUNKNOWN";
}

// ---- calls that change something ----

int linux_create(int dir, const char *path, int flags, unsigned int mode) {
    CHANGING(openat(dir, path, flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
}

int linux_open_or_create(int dir, const char *path, unsigned int mode) {
    CHANGING(openat(dir, path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, mode));
}

int linux_mkdir(int dir, const char *path, unsigned int mode) { CHANGING(mkdirat(dir, path, mode)); }

long linux_write(int fd, const void *buffer, unsigned long size) {
#ifdef CHASTIPI_FAULTS
    struct fault fault = fault_at_this_call();
    if (fault.kind == fault_fail) return -fault.error;
    if (fault.kind == fault_short && size > 1) size /= 2;
    long result = write(fd, buffer, size);
    if (fault.kind == fault_late) return -fault.error;
    return result < 0 ? -errno : result;
#else
    RESULT(write(fd, buffer, size));
#endif
}

long linux_pwrite(int fd, const void *buffer, unsigned long size, long long offset) {
    CHANGING(pwrite(fd, buffer, size, offset));
}

int linux_truncate(int fd, long long size) { CHANGING(ftruncate(fd, size)); }

int linux_fsync(int fd) { CHANGING(fsync(fd)); }

int linux_syncfs(int fd) { CHANGING(syncfs(fd)); }

int linux_rename(int from_dir, const char *from, int to_dir, const char *to) {
    CHANGING(renameat(from_dir, from, to_dir, to));
}

int linux_rename_noreplace(int from_dir, const char *from, int to_dir, const char *to) {
    CHANGING(renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE));
}

int linux_rename_exchange(int a_dir, const char *a, int b_dir, const char *b) {
    CHANGING(renameat2(a_dir, a, b_dir, b, RENAME_EXCHANGE));
}

int linux_link(int from_dir, const char *from, int to_dir, const char *to) {
    CHANGING(linkat(from_dir, from, to_dir, to, 0));
}

int linux_symlink(const char *target, int dir, const char *path) { CHANGING(symlinkat(target, dir, path)); }

int linux_mkfifo(int dir, const char *path) { CHANGING(mkfifoat(dir, path, 0600)); }

int linux_mknod(int dir, const char *path, int block, unsigned int major, unsigned int minor) {
    CHANGING(mknodat(dir, path, (block ? S_IFBLK : S_IFCHR) | 0600, makedev(major, minor)));
}

int linux_unlink(int dir, const char *path) { CHANGING(unlinkat(dir, path, 0)); }

int linux_rmdir(int dir, const char *path) { CHANGING(unlinkat(dir, path, AT_REMOVEDIR)); }

int linux_chmod(int fd, unsigned int mode) { CHANGING(fchmod(fd, mode)); }

int linux_chmod_path_descriptor(int fd, unsigned int mode) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    CHANGING(chmod(path, mode));
}

int linux_chown(int fd, unsigned int user, unsigned int group) { CHANGING(fchown(fd, user, group)); }

int linux_chown_at(int dir, const char *path, unsigned int user, unsigned int group) {
    CHANGING(fchownat(dir, path, user, group, AT_SYMLINK_NOFOLLOW));
}

int linux_set_modified(int fd, long long seconds, unsigned int nanoseconds) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = nanoseconds}};
    CHANGING(futimens(fd, times));
}

int linux_set_modified_at(int dir, const char *path, long long seconds, unsigned int nanoseconds) {
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = seconds, .tv_nsec = nanoseconds}};
    CHANGING(utimensat(dir, path, times, AT_SYMLINK_NOFOLLOW));
}

int linux_set_xattr(int fd, const char *name, const void *value, unsigned long size) {
    CHANGING(fsetxattr(fd, name, value, size, 0));
}

int linux_set_xattr_at(int dir, const char *name, const char *attribute, const void *value, unsigned long size) {
    struct proc_path path;
    CHANGING(lsetxattr(proc_path(&path, dir, name), attribute, value, size, 0));
}

int linux_remove_xattr(int fd, const char *name) { CHANGING(fremovexattr(fd, name)); }

int linux_reflink(int to_fd, int from_fd) { CHANGING(ioctl(to_fd, FICLONE, from_fd)); }

// ---- signals ----

static int signal_descriptor = -1;
static volatile sig_atomic_t signals_seen;
static struct timespec first_signal;

// A terminal's Ctrl-C reaches us from the terminal and once more from a script that passes it on: what comes within a
// second of the first signal is the first one's echo.
static int is_echo(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!signals_seen) {
        first_signal = now;
        return 0;
    }
    return now.tv_sec - first_signal.tv_sec < 1 || (now.tv_sec - first_signal.tv_sec == 1 && now.tv_nsec < first_signal.tv_nsec);
}

// How many have asked that a HUP does nothing.
static atomic_int hangups_held;

static void on_signal(int number) {
    if (number == SIGHUP && atomic_load(&hangups_held) > 0) return;
    int saved = errno;
    if (is_echo()) return;
    if (signals_seen++) _exit(128 + number);
    unsigned char byte = (unsigned char)number;
    // Nothing can be done here if the pipe is gone: the next signal ends the process.
    ssize_t written = write(signal_descriptor, &byte, 1);
    (void)written;
    errno = saved;
}

void linux_catch_signals(int fd) {
    signal_descriptor = fd;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    // nohup: a hangup that is ignored shall stay so.
    struct sigaction before;
    if (sigaction(SIGHUP, NULL, &before) != 0 || before.sa_handler != SIG_IGN) sigaction(SIGHUP, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    // Whoever started us may have blocked them, as worker threads do; that is inherited, and they would wait for ever.
    sigset_t caught;
    sigemptyset(&caught);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGTERM);
    sigaddset(&caught, SIGHUP);
    sigprocmask(SIG_UNBLOCK, &caught, NULL);
}

int linux_pipe(int fds[2]) { RESULT(pipe2(fds, O_CLOEXEC)); }

int linux_start_program(const char *const *words, int output) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0) return -result;
    result = posix_spawnattr_init(&attributes);
    if (result == 0) {
        // What is caught becomes the default by itself; what is ignored, and what is blocked, would stay so.
        sigset_t ignored, none;
        sigemptyset(&none);
        sigemptyset(&ignored);
        sigaddset(&ignored, SIGPIPE);
        pid_t process = 0;
        if ((result = posix_spawn_file_actions_adddup2(&actions, output, 1)) == 0
            && (result = posix_spawnattr_setsigdefault(&attributes, &ignored)) == 0
            && (result = posix_spawnattr_setsigmask(&attributes, &none)) == 0
            && (result = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK)) == 0
            && (result = posix_spawnp(&process, words[0], &actions, &attributes, (char *const *)words, environ)) == 0) {
            result = -process;
        }
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return -result;
}

static pthread_mutex_t hangup_mutex = PTHREAD_MUTEX_INITIALIZER;

static void on_held_hangup(int number) { (void)number; }

// Whether `handler` is what a HUP does now.
static int hangup_is(void (*handler)(int)) {
    struct sigaction now;
    return sigaction(SIGHUP, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == handler;
}

void linux_hold_hangups(int change) {
    pthread_mutex_lock(&hangup_mutex);
    int held = atomic_fetch_add(&hangups_held, change) + change;
    // Where nobody has decided what a HUP does, it ends the process. A handler and not SIG_IGN: that would be inherited.
    void (*from)(int) = held > 0 ? SIG_DFL : on_held_hangup;
    void (*to)(int) = held > 0 ? on_held_hangup : SIG_DFL;
    if (hangup_is(from)) {
        struct sigaction action = {.sa_handler = to, .sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        sigaction(SIGHUP, &action, NULL);
    }
    pthread_mutex_unlock(&hangup_mutex);
}

void linux_spare_memory(void) {
#ifdef __GLIBC__
    // Else the threshold grows with the largest block that was freed, and such blocks stay.
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
    mallopt(M_ARENA_MAX, 2);
#endif
}
