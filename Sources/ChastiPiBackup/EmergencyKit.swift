import Model

/// A page to print: what somebody needs who has the repository and nothing else.
struct EmergencyKit {
    enum Password {
        case here(String)
        case elsewhere(PasswordOrigin)
        case nobodyKnowsWhere
    }

    let location: String
    /// Nil while there is no repository yet.
    let id: String?
    let made: LocalTime
    let host: String
    let password: Password

    var text: String {
        let quoted = Self.quoted(location)
        return """
            EMERGENCY KIT

            This page opens a backup repository. Print it, and keep it where neither
            fire nor thieves find it together with the computer.

              Location       \(printable(location.utf8))
              on computer    \(printable(host.utf8))
              Repository ID  \(id ?? "(it was not made yet when this was written)")
              Made           \(made.rfc3339)
            \(passwordLines)

            GETTING THE DATA BACK

            The repository is in the format of restic, a free program that most systems
            have (Debian, Raspberry Pi OS: apt install restic; restic.net). Version 0.14
            or later opens it, without the program that made it.

            1. Connect the disk with the repository. Below it stands at the location of
               then; write where it is now.

            2. See what is there. The password is asked for, and not shown while typed:

                 restic -r \(quoted) snapshots

            3. Bring back the newest backup, into a new directory (as root, so that
               owners come back, too):

                 restic -r \(quoted) restore latest --target restored

               In place of 'latest' stands any ID of the list.

            4. If something cannot be read, this tells what is damaged:

                 restic -r \(quoted) check --read-data

            """
    }

    private var passwordLines: String {
        switch password {
        case .here(let text):
            """
              Password       \(text)

            Whoever reads the password can read everything in the repository.
            """
        case .elsewhere(let origin):
            """
              Password       not on this page; \(Self.told(origin))

            Without the password nobody can open the repository. If the computer is
            gone, so may be that place: keep the password in another one as well.
            """
        case .nobodyKnowsWhere:
            """
              Password       not on this page. It is kept:

                             ____________________________________________

            Without the password nobody can open the repository.
            """
        }
    }

    private static func told(_ origin: PasswordOrigin) -> String {
        switch origin {
        case .file(let path): "it was in the file \(printable(path.utf8))"
        // Its arguments may be secret.
        case .command(let words): "the program '\(printable((words.first ?? "").utf8))' printed it"
        case .known: "it was in the environment of the program"
        }
    }

    /// As a shell reads it back.
    private static func quoted(_ path: String) -> String {
        let plain = path.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                true
            default: "/._-".utf8.contains(byte)
            }
        }
        return plain ? path : "'\(path.replacing("'", with: "'\\''"))'"
    }
}
