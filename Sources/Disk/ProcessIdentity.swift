import Glibc

/// This process, for messages about who holds a lock.
package enum ProcessIdentity {
    package static var number: Int32 { getpid() }
}
