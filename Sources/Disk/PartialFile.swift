import Model

/// A file that is being made, invisible to listings: complete and durable before it has its name (promise 1).
package struct PartialFile: ~Copyable {
    package let container: Directory
    package let temporaryName: [UInt8]
    private var isFinished = false

    /// `temporaryName` is one that listings leave out (``PartialDirectory/prefix``); nothing stands there.
    package init(_ temporaryName: [UInt8], in container: Directory) {
        self.container = container
        self.temporaryName = temporaryName
    }

    deinit {
        assert(isFinished, "a partial file was neither published nor discarded")
    }

    /// Makes `file`, which was written at the temporary name, durable and visible under `name`, where nothing may stand.
    /// After an error nothing of it is visible.
    package mutating func publish(_ file: borrowing NewFile, as name: String) throws {
        do throws(DiskError) {
            try file.fsync()
            try container.moveDirectory(temporaryName, as: name.utf8)
        } catch {
            hide(name, try file.status().identity)
            throw error
        }
        do throws(DiskError) {
            try container.fsync()
        } catch {
            hide(name, try file.status().identity)
            throw error
        }
        isFinished = true
    }

    /// A move that was reported as failed may have been made all the same: what counts is which file stands there.
    private mutating func hide(_ name: String, _ identity: FileIdentity) {
        do throws(DiskError) {
            if try container.status(of: name.utf8)?.identity == identity { try container.unlink(name.utf8) }
        } catch {
            // It stays visible; and it is complete, only not known to be durable.
        }
        discard()
    }

    package mutating func discard() {
        isFinished = true
        do throws(DiskError) {
            if try container.status(of: temporaryName) != nil { try container.unlink(temporaryName) }
        } catch {
            // A leftover, which the next run removes.
        }
    }
}
