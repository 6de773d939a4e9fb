import CLinux

/// While one exists, a hangup (SIGHUP) does nothing to this process: restic's `unlock` sends one to every process of this host that a
/// lock names, only to see whether it is alive. Ctrl-C and SIGTERM do what they always do.
package final class HangupShield: Sendable {
    package init() {
        linux_hold_hangups(1)
    }

    deinit {
        linux_hold_hangups(-1)
    }
}
