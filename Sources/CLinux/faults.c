#define _GNU_SOURCE
#include "faults.h"

typedef int translation_unit_is_not_empty;

#ifdef CHASTIPI_FAULTS
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long calls;
static long fault_number, kill_number;
static int fault_repeats, fault_kills;
static struct fault planned;
static const char *count_file;

static const struct {
    const char *name;
    int number;
} errors[] = {
    {"EIO", EIO},     {"ENOSPC", ENOSPC}, {"EACCES", EACCES}, {"EROFS", EROFS},         {"EMFILE", EMFILE},
    {"EPERM", EPERM}, {"EDQUOT", EDQUOT}, {"EINTR", EINTR},   {"EOPNOTSUPP", EOPNOTSUPP}, {"EMLINK", EMLINK},
    {"EXDEV", EXDEV}, {"EEXIST", EEXIST}, {"ENOENT", ENOENT}, {"EBUSY", EBUSY},
};

static int error_named(const char *name) {
    for (unsigned i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (strcmp(errors[i].name, name) == 0) return errors[i].number;
    fprintf(stderr, "CHASTIPI_FAULT: unknown fault '%s'\n", name);
    _exit(99);
}

static void write_count(void) {
    int fd = open(count_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        dprintf(fd, "%ld\n", atomic_load(&calls));
        close(fd);
    }
}

__attribute__((constructor)) static void read_plan(void) {
    count_file = getenv("CHASTIPI_FAULT_COUNT");
    if (count_file) atexit(write_count);
    const char *plan = getenv("CHASTIPI_FAULT");
    const char *second = getenv("CHASTIPI_FAULT_THEN_KILL");
    if (second) kill_number = strtol(second, 0, 10);
    if (!plan) return;
    char *rest;
    fault_number = strtol(plan, &rest, 10);
    if (*rest == '+') fault_repeats = 1, rest++;
    if (*rest != ':' || fault_number < 1) error_named(plan);
    const char *what = rest + 1;
    if (strcmp(what, "kill") == 0) {
        fault_kills = 1;
    } else if (strcmp(what, "short") == 0) {
        planned.kind = fault_short;
    } else if (strncmp(what, "late-", 5) == 0) {
        planned = (struct fault){fault_late, error_named(what + 5)};
    } else {
        planned = (struct fault){fault_fail, error_named(what)};
    }
}

struct fault fault_at_this_call(void) {
    long number = atomic_fetch_add(&calls, 1) + 1;
    struct fault none = {fault_none, 0};
    if (kill_number != 0 && number == kill_number) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (fault_number == 0 || number < fault_number || (number > fault_number && !fault_repeats)) return none;
    if (fault_kills) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    return planned;
}
#endif
