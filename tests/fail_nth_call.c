/* LD_PRELOAD library: the N-th call of one kind, from one library, on a path below a folder fails once with an errno.

   FAIL_FOLDER   absolute folder; calls on other paths are neither counted nor changed
   FAIL_COUNTS   file of KINDS x CALLERS counters of 8 bytes, shared by all processes of a command
   FAIL_COUNTER  index of the counter whose FAIL_NTH-th call fails; nothing fails without it
   FAIL_NTH      counted from 1
   FAIL_ERRNO    number of the error
   FAIL_LASTING  if set, later calls of that counter fail too, as on a disk that stays full

   The environment is read at every call, so that a process can set it after a fork. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, READ, WRITE, FSYNC, FTRUNCATE, RENAME, UNLINK, MMAP, KINDS };
enum caller { PYTHON, DUCKDB, ARROW, OTHER, CALLERS };

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static unsigned long *counters(void) {
    static unsigned long *shared;
    const char *path = getenv("FAIL_COUNTS");
    if (shared == NULL && path != NULL) {
        int fd = REAL(open)(path, O_RDWR);
        void *at = REAL(mmap)(NULL, 8 * KINDS * CALLERS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        shared = at == MAP_FAILED ? NULL : at;
    }
    return shared;
}

static enum caller caller_of(void *address) {
    Dl_info object;
    if (!dladdr(address, &object)) return OTHER;
    const char *slash = strrchr(object.dli_fname, '/'), *name = slash ? slash + 1 : object.dli_fname;
    if (strstr(name, "duckdb")) return DUCKDB;
    if (strstr(name, "arrow")) return ARROW;
    return !strncmp(name, "python", 6) || !strncmp(name, "libpython", 9) ? PYTHON : OTHER;
}

static int fails(enum kind kind, const char *path, void *address) {
    const char *folder = getenv("FAIL_FOLDER"), *counter = getenv("FAIL_COUNTER");
    size_t length = folder ? strlen(folder) : 0;
    if (!length || strncmp(path, folder, length) || path[length] != '/' || !counters()) return 0;
    int index = kind * CALLERS + caller_of(address);
    unsigned long count = __atomic_add_fetch(&counters()[index], 1, __ATOMIC_SEQ_CST);
    if (!counter || index != atoi(counter)) return 0;
    unsigned long nth = strtoul(getenv("FAIL_NTH"), NULL, 10);
    if (getenv("FAIL_LASTING") ? count < nth : count != nth) return 0;
    errno = atoi(getenv("FAIL_ERRNO"));
    return 1;
}

static int fails_at(enum kind kind, int fd, void *address) {
    char link[32], path[4096];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = fd < 0 ? -1 : readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return fails(kind, path, address);
}

#define HERE __builtin_return_address(0)
#define ON_PATH(kind, type, name, given, passed, path, failed) \
    type name given { return fails(kind, path, HERE) ? failed : REAL(name) passed; }
#define ON_FD(kind, type, name, given, passed, fd, failed) \
    type name given { return fails_at(kind, fd, HERE) ? failed : REAL(name) passed; }
#define OPENING(name, given, passed)                                     \
    int name given {                                                     \
        va_list rest;                                                    \
        va_start(rest, flags);                                           \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0; \
        va_end(rest);                                                    \
        return fails(OPEN, path, HERE) ? -1 : REAL(name) passed;         \
    }

OPENING(open, (const char *path, int flags, ...), (path, flags, mode))
OPENING(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENING(openat, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
OPENING(openat64, (int folder, const char *path, int flags, ...), (folder, path, flags, mode))
ON_PATH(OPEN, FILE *, fopen, (const char *path, const char *mode), (path, mode), path, NULL)
ON_PATH(OPEN, FILE *, fopen64, (const char *path, const char *mode), (path, mode), path, NULL)
ON_FD(READ, ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), fd, -1)
ON_FD(READ, ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), fd, -1)
ON_FD(READ, ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at), fd, -1)
ON_FD(READ, ssize_t, readv, (int fd, const struct iovec *to, int n), (fd, to, n), fd, -1)
ON_FD(WRITE, ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n), fd, -1)
ON_FD(WRITE, ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at), fd, -1)
ON_FD(WRITE, ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at), fd, -1)
ON_FD(WRITE, ssize_t, writev, (int fd, const struct iovec *from, int n), (fd, from, n), fd, -1)
ON_FD(FSYNC, int, fsync, (int fd), (fd), fd, -1)
ON_FD(FSYNC, int, fdatasync, (int fd), (fd), fd, -1)
ON_FD(FTRUNCATE, int, ftruncate, (int fd, off_t n), (fd, n), fd, -1)
ON_FD(FTRUNCATE, int, ftruncate64, (int fd, off64_t n), (fd, n), fd, -1)
ON_PATH(RENAME, int, rename, (const char *from, const char *to), (from, to), to, -1)
ON_PATH(UNLINK, int, unlink, (const char *path), (path), path, -1)
ON_FD(MMAP, void *, mmap, (void *at, size_t n, int prot, int flags, int fd, off_t from),
      (at, n, prot, flags, fd, from), fd, MAP_FAILED)
ON_FD(MMAP, void *, mmap64, (void *at, size_t n, int prot, int flags, int fd, off64_t from),
      (at, n, prot, flags, fd, from), fd, MAP_FAILED)
