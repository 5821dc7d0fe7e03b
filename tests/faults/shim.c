/* Loaded before the C library: fails the k-th call that changes files below a directory.
 *
 * RocksDB does its own I/O, so that its failures can be had here only. What counts: writes, syncs,
 * changes of length, and files or folders made, renamed, linked or removed. Reads always succeed.
 *
 * SLICEDB_FAULT_DIR names the directory, SLICEDB_FAULT_CONTROL a file of 4096 bytes which the test
 * and this process share:
 *
 *   offset 0  count   calls so far
 *          8  first   the first call that fails; 0: none
 *         16  last    the last one; 0: all from `first` on
 *         24  error   errno
 *         32  how     0: nothing is done; 1: half of a write is done, and then it fails;
 *                     2: half of a write is done, and its length is answered (no error at all)
 *         40  hits    calls that failed
 *         48  room    1: only calls that take room on the disk fail
 *         64  note    what the first of them was, as text that ends in 0
 *
 * all u64 of this machine. The real calls are made by number: nothing has to be looked up.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    uint64_t count, first, last, error, how, hits, room, unused;
    char note[512];
};

static struct control *control;
static const char *dir;
static size_t dir_length;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SLICEDB_FAULT_CONTROL");
    dir = getenv("SLICEDB_FAULT_DIR");
    if (path == NULL || dir == NULL)
        return;
    dir_length = strlen(dir);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR, 0);
    if (fd < 0)
        return;
    void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED)
        control = shared;
    close(fd);
}

enum { GO_ON, FAIL, HALF_AND_FAIL, HALF };

/* What a call is. */
enum { OTHER, TAKES_ROOM, WRITES };

/* Counts a call, and tells what becomes of it. */
static int verdict(const char *call, const char *path, int kind) {
    if (strncmp(path, dir, dir_length) != 0 || (path[dir_length] != '/' && path[dir_length] != 0))
        return GO_ON;
    uint64_t first = __atomic_load_n(&control->first, __ATOMIC_SEQ_CST);
    uint64_t last = __atomic_load_n(&control->last, __ATOMIC_SEQ_CST);
    /* RocksDB's log for people: nothing rests on it, it fails with all the others only. */
    size_t length = strlen(path);
    int is_text = length > 4 && strcmp(path + length - 4, "/LOG") == 0;
    if (is_text && last != 0)
        return GO_ON;
    uint64_t number = __atomic_add_fetch(&control->count, is_text ? 0 : 1, __ATOMIC_SEQ_CST);
    if (first == 0 || number < first || (last != 0 && number > last))
        return GO_ON;
    int how = kind == WRITES ? (int)control->how : 0;
    /* Only a write can be short. */
    if ((how == 0 && control->how == 2) || (kind == OTHER && control->room))
        return GO_ON;
    if (__atomic_fetch_add(&control->hits, 1, __ATOMIC_SEQ_CST) == 0)
        snprintf(control->note, sizeof control->note, "%s %s", call, path + dir_length);
    return FAIL + how;
}

static int of_path(const char *call, int at, const char *path, int kind) {
    if (control == NULL || path == NULL)
        return GO_ON;
    char whole[PATH_MAX + NAME_MAX];
    if (path[0] != '/') {
        char link[64], folder[PATH_MAX];
        if (at == AT_FDCWD)
            snprintf(link, sizeof link, "/proc/self/cwd");
        else
            snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, folder, sizeof folder - 1);
        if (length < 0)
            return GO_ON;
        folder[length] = 0;
        snprintf(whole, sizeof whole, "%s/%s", folder, path);
        path = whole;
    }
    return verdict(call, path, kind);
}

static int of_fd(const char *call, int fd, int kind) {
    if (control == NULL)
        return GO_ON;
    int before = errno;
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0)
        return GO_ON;
    path[length] = 0;
    return verdict(call, path, kind);
}

static int fail(void) {
    errno = (int)control->error;
    return -1;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    int how = of_fd("write", fd, WRITES);
    if (how == FAIL)
        return fail();
    if (how == GO_ON)
        return syscall(SYS_write, fd, bytes, length);
    ssize_t done = syscall(SYS_write, fd, bytes, (length + 1) / 2);
    return how == HALF ? done : fail();
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    int how = of_fd("pwrite", fd, WRITES);
    if (how == FAIL)
        return fail();
    if (how == GO_ON)
        return syscall(SYS_pwrite64, fd, bytes, length, offset);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, (length + 1) / 2, offset);
    return how == HALF ? done : fail();
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    int how = of_fd("writev", fd, WRITES);
    if (how == FAIL)
        return fail();
    if (how == GO_ON || count == 0)
        return syscall(SYS_writev, fd, parts, count);
    ssize_t done = syscall(SYS_write, fd, parts[0].iov_base, (parts[0].iov_len + 1) / 2);
    return how == HALF ? done : fail();
}

int fsync(int fd) {
    return of_fd("fsync", fd, OTHER) ? fail() : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    return of_fd("fdatasync", fd, OTHER) ? fail() : (int)syscall(SYS_fdatasync, fd);
}

int sync_file_range(int fd, off64_t offset, off64_t length, unsigned int flags) {
    if (of_fd("sync_file_range", fd, OTHER))
        return fail();
    return (int)syscall(SYS_sync_file_range, fd, offset, length, flags);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    if (of_fd("fallocate", fd, TAKES_ROOM))
        return fail();
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    return fallocate64(fd, mode, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    return fallocate64(fd, 0, offset, length) == 0 ? 0 : errno;
}

int posix_fallocate(int fd, off_t offset, off_t length) {
    return posix_fallocate64(fd, offset, length);
}

int ftruncate64(int fd, off64_t length) {
    return of_fd("ftruncate", fd, OTHER) ? fail() : (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate(int fd, off_t length) {
    return ftruncate64(fd, length);
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    if ((flags & O_CREAT) && of_path("create", at, path, TAKES_ROOM))
        return fail();
    return (int)syscall(SYS_openat, at, path, flags, mode);
}

/* The mode is there only if a file may be made. */
#define OPEN(at)                                                                                   \
    mode_t mode = 0;                                                                               \
    if ((flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE) {                                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }                                                                                              \
    return open_at(at, path, flags, mode)

int open(const char *path, int flags, ...) { OPEN(AT_FDCWD); }

int open64(const char *path, int flags, ...) { OPEN(AT_FDCWD); }

int openat(int at, const char *path, int flags, ...) { OPEN(at); }

int openat64(int at, const char *path, int flags, ...) { OPEN(at); }

int creat(const char *path, mode_t mode) {
    return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int renameat2(int at, const char *from, int to_at, const char *to, unsigned int flags) {
    if (of_path("rename", at, from, OTHER))
        return fail();
    return (int)syscall(SYS_renameat2, at, from, to_at, to, flags);
}

int renameat(int at, const char *from, int to_at, const char *to) {
    return renameat2(at, from, to_at, to, 0);
}

int rename(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* What counts is where the file comes to be. */
int linkat(int at, const char *from, int to_at, const char *to, int flags) {
    if (of_path("link", to_at, to, TAKES_ROOM))
        return fail();
    return (int)syscall(SYS_linkat, at, from, to_at, to, flags);
}

int link(const char *from, const char *to) {
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int at, const char *path, int flags) {
    if (of_path("unlink", at, path, OTHER))
        return fail();
    return (int)syscall(SYS_unlinkat, at, path, flags);
}

int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

int mkdirat(int at, const char *path, mode_t mode) {
    if (of_path("mkdir", at, path, TAKES_ROOM))
        return fail();
    return (int)syscall(SYS_mkdirat, at, path, mode);
}

int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}
