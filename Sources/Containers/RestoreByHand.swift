/// `RESTORE-BY-HAND.txt`: lies beside backups for whoever has nothing but them.
enum RestoreByHand {
    static let fileName = "RESTORE-BY-HAND.txt"

    static let text = """
        How to get the app back out of this folder without the program that made it
        ============================================================================

        Everything here is made of ordinary files. You need no special program.

        1. Which backup? Each NAME/ (a folder) and each NAME.zip is one whole backup; the name says when it was made.
           NAME/backup_metadata.json has the exact time, what was saved, and what could not be read ("skipped").

        2. Stop the app, and keep what is left of it: rename its folder instead of deleting it.

        3. Copy the backup to where the app was:

             a folder:   cp -a NAME/. /path/to/the/app/
             a zip:      unzip NAME.zip -d /path/to/the/app/        (7z x, bsdtar -xf and Windows do as well)
             encrypted:  7z x NAME.zip -o/path/to/the/app/          (asks for the password; unzip cannot read it)

           As root owners come back too (with unzip: unzip -X).

        4. These two are no part of the app and may be removed there: MANIFEST.mtree, backup_metadata.json.

        5. A database app.db stands alone in a backup. If the app's folder has an app.db-wal, app.db-shm or app.db-journal
           of its own beside it, remove these three first: they belong to the database that was there before.

        Is a backup whole?

             a folder:   cd NAME && mtree -p . -f MANIFEST.mtree    (Debian: mtree-netbsd) prints nothing if it is.
                         The SHA-256 of every file stands in MANIFEST.mtree.
             a zip:      unzip -t NAME.zip. Its comment (unzip -z) has the SHA-256 of all bytes before the comment.

        Never change a file inside a backup folder: backups share files that did not change between them.

        """
}
