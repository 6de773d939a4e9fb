// The Linux system calls that Disk is built on, and every call of ours that changes something on disk.
//
// This header includes no system header: Swift's Glibc module lacks statx, openat2, renameat2, syncfs and others, and a
// shim that includes their headers clashes with it. Every function returns what the system call returns, or -errno.
// Paths are NUL-terminated bytes relative to `dir`; every descriptor is made close-on-exec.
#pragma once

typedef struct {
    unsigned long long device, inode, mount, size, blocks; // blocks of 512 bytes
    long long modified_seconds, changed_seconds;
    unsigned int modified_nanoseconds, changed_nanoseconds;
    unsigned int mode, user, group, links; // mode with the type bits
    unsigned int represented_major, represented_minor; // of a device node
    int immutable, append_only, mount_root;
} linux_stat;

typedef struct {
    unsigned long long magic, identity; // statfs f_type and f_fsid
    unsigned long long block_size, blocks_available, inodes, inodes_free;
    int read_only;
} linux_filesystem;

typedef struct {
    unsigned long long inode;
    const char *name;
    unsigned int name_length;
    unsigned char type; // DT_*
} linux_dirent;

// ---- calls that change nothing ----
int linux_open(int dir, const char *path, int flags);
// openat2 with RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS.
int linux_open_beneath(int dir, const char *path, int flags);
int linux_close(int fd);
int linux_duplicate(int fd);
// Never follows a link; an empty path is `dir` itself.
int linux_stat_at(int dir, const char *path, linux_stat *result);
int linux_stat_following(int dir, const char *path, linux_stat *result);
int linux_filesystem_of(int fd, linux_filesystem *result);
// Fills `buffer` with directory records; linux_next_dirent walks them from `*offset` (0 at first) and returns 0 at the end.
long linux_list(int fd, void *buffer, unsigned long size);
int linux_next_dirent(const void *buffer, long filled, long *offset, linux_dirent *result);
long linux_readlink(int dir, const char *path, char *buffer, unsigned long size);
long linux_read(int fd, void *buffer, unsigned long size);
long linux_pread(int fd, void *buffer, unsigned long size, long long offset);
long long linux_seek_data(int fd, long long offset);
long long linux_seek_hole(int fd, long long offset);
void linux_advise_sequential(int fd);
// Has the kernel begin to write out what was written there; nothing is promised, and nothing waits for it.
void linux_start_writing_out(int fd, long long offset, long long size);
long linux_list_xattrs(int fd, char *buffer, unsigned long size);
long linux_get_xattr(int fd, const char *name, void *buffer, unsigned long size);
// The same for `name` in `dir`, never following a link.
long linux_list_xattrs_at(int dir, const char *name, char *buffer, unsigned long size);
long linux_get_xattr_at(int dir, const char *name, const char *attribute, void *buffer, unsigned long size);
// 1 if names in this directory fold case, 0 if not (also where the file system cannot tell).
int linux_folds_case(int fd);
int linux_lock(int fd, int exclusive, int wait);
// A shared lock on a range of bytes that belongs to the open file description: SQLite locks ranges of its files. Never waits.
int linux_lock_range(int fd, long long start, long long length);
void linux_sleep(unsigned int milliseconds);
long linux_user_name(unsigned int user, char *buffer, unsigned long size);
long linux_group_name(unsigned int group, char *buffer, unsigned long size);
long long linux_user_id(const char *name);
long long linux_group_id(const char *name);
unsigned int linux_effective_user(void);
unsigned int linux_effective_group(void);
// The supplementary groups of this process: how many there are, or, with `size` 0, how many there would be.
int linux_groups(unsigned int *groups, int size);
// 0 if we may make and remove entries in the directory `path` (a link is followed), else what keeps us from it.
int linux_may_change(int dir, const char *path);
// Number and text of an error, for messages. The text lives as long as the process.
const char *linux_error_text(int number);
const char *linux_error_name(int number);

// ---- calls that change something: each of them is counted, and can be made to fail, in debug builds ----
int linux_create(int dir, const char *path, int flags, unsigned int mode); // O_CREAT | O_EXCL | O_NOFOLLOW
int linux_open_or_create(int dir, const char *path, unsigned int mode);    // O_RDWR | O_CREAT | O_NOFOLLOW (locks)
int linux_mkdir(int dir, const char *path, unsigned int mode);
long linux_write(int fd, const void *buffer, unsigned long size);
long linux_pwrite(int fd, const void *buffer, unsigned long size, long long offset);
int linux_truncate(int fd, long long size);
int linux_fsync(int fd);
int linux_syncfs(int fd);
int linux_rename(int from_dir, const char *from, int to_dir, const char *to); // replaces what stands at `to`
int linux_rename_noreplace(int from_dir, const char *from, int to_dir, const char *to);
int linux_rename_exchange(int a_dir, const char *a, int b_dir, const char *b);
int linux_link(int from_dir, const char *from, int to_dir, const char *to);
int linux_symlink(const char *target, int dir, const char *path);
int linux_mkfifo(int dir, const char *path);                                               // with mode 0600
int linux_mknod(int dir, const char *path, int block, unsigned int major, unsigned int minor); // likewise
int linux_unlink(int dir, const char *path);
int linux_rmdir(int dir, const char *path);
int linux_chmod(int fd, unsigned int mode);
int linux_chmod_path_descriptor(int fd, unsigned int mode); // of a descriptor made with O_PATH
int linux_chown(int fd, unsigned int user, unsigned int group);
int linux_chown_at(int dir, const char *path, unsigned int user, unsigned int group); // never follows a link
int linux_set_modified(int fd, long long seconds, unsigned int nanoseconds);
int linux_set_modified_at(int dir, const char *path, long long seconds, unsigned int nanoseconds);
int linux_set_xattr(int fd, const char *name, const void *value, unsigned long size);
int linux_set_xattr_at(int dir, const char *name, const char *attribute, const void *value, unsigned long size);
int linux_remove_xattr(int fd, const char *name);
int linux_reflink(int to_fd, int from_fd);

// ---- signals (the executable) ----
// Installs handlers for INT, TERM and HUP that write the signal's number to `fd`; a second one, a second
// later or more, ends the process at once with status 128 + number. Ignores PIPE.
void linux_catch_signals(int fd);
int linux_pipe(int fds[2]);
// Begins (1) or ends (-1) a time in which a HUP does nothing, whatever it does otherwise; such times may overlap.
void linux_hold_hangups(int change);

// ---- other programs ----
// Starts a program with these words (NULL at the end), looked for in PATH unless there is a slash in the first. Its standard output
// is `output`; the rest, and the environment, is ours. Returns its process number.
int linux_start_program(const char *const *words, int output);

// ---- constants of the kernel that Swift's modules lack ----
extern const int linux_O_PATH;
extern const int linux_O_DIRECTORY;
extern const int linux_O_NOFOLLOW;
extern const int linux_O_NONBLOCK;

// ---- memory ----

/// Makes malloc give large blocks back to the system when they are freed, and keep few arenas: memory is a cost.
void linux_spare_memory(void);
