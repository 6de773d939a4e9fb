// Fault injection for tests that drive the real program; see Tests/TestKit/FaultDriver.swift.
//
//   CHASTIPI_FAULT=N:WHAT     at the N-th call that changes something (counted from 1) do WHAT, once
//   CHASTIPI_FAULT=N+:WHAT    at that call and every later one
//   WHAT: kill (SIGKILL before the call), short (half of a write is done), an errno's name such as EIO (the call is not
//   made and fails), or late-EIO and the like (the call is made and reported as failed)
//   CHASTIPI_FAULT_THEN_KILL=N  SIGKILL before the N-th call as well: a kill while a failed run takes everything back
//   CHASTIPI_FAULT_COUNT=FILE the number of calls that were made, written when the process exits
#pragma once

#ifdef CHASTIPI_FAULTS
enum fault_kind { fault_none, fault_fail, fault_late, fault_short };
struct fault {
    enum fault_kind kind;
    int error;
};
struct fault fault_at_this_call(void);

#define CHANGING(call)                                                                                                 \
    do {                                                                                                               \
        struct fault fault = fault_at_this_call();                                                                     \
        if (fault.kind == fault_fail) return -fault.error;                                                             \
        long long result = (long long)(call);                                                                          \
        int error = errno;                                                                                             \
        if (fault.kind == fault_late) return -fault.error;                                                             \
        return result < 0 ? -error : result;                                                                           \
    } while (0)
#else
#define CHANGING(call)                                                                                                 \
    do {                                                                                                               \
        long long result = (long long)(call);                                                                          \
        return result < 0 ? -errno : result;                                                                           \
    } while (0)
#endif
