import Containers
import Disk
import Model
import Workers

/// `prune`: removes what the retention policy does not keep.
struct RetentionRun {
    let places: AppPlaces
    let pool: ThreadPool
    let run: RunContext
    let policy: RetentionPolicy
    let removesMany: Bool

    init(places: AppPlaces, pool: ThreadPool, run: RunContext, request: PruneRequest, configured: RetentionPolicy?)
        throws
    {
        guard var policy = request.policy ?? configured else {
            throw BackupError(
                .usage, "there is no policy, so everything is kept",
                advice: "Say what to keep, such as --keep-last 3 --keep-daily 7, or set 'retention' in backup.yaml")
        }
        if policy.isEmpty {
            throw BackupError(
                .usage, "the policy keeps nothing, and removing every backup is not what prune is for",
                advice: "Say what to keep, such as --keep-last 3 --keep-daily 7")
        }
        if request.includesNamed { policy.includesNamed = true }
        (self.places, self.pool, self.run, self.policy) = (places, pool, run, policy)
        removesMany = request.removesMany
    }

    /// What would be done. Nothing changes. `measuring`: what is freed is found out even where that takes long.
    func preview(measuring: Bool = true) throws -> RetentionPlan {
        guard let backups = try places.existing(pool: pool, in: run) else {
            return RetentionPlan(policy: policy, decisions: [], bytesTogether: 0, bytesFreed: 0)
        }
        return try plan(backups, measuring: measuring)
    }

    private func plan(_ local: AppBackups, measuring: Bool = false) throws -> RetentionPlan {
        // Those of other apps in a repository stand under a policy of their own.
        let all = try local.backups().backups
        var listed = try local.own(all)
        if listed.isEmpty, !all.isEmpty {
            run.report(.warning("none of the backups there is of this app on this computer; they stay"))
        }
        let together = try local.measure(&listed)
        let decisions = policy.decide(on: listed, now: run.now(), zone: run.clock.offset)
        var plan = RetentionPlan(policy: policy, decisions: decisions, bytesTogether: together)
        plan.bytesFreed =
            plan.removed.isEmpty ? 0 : try local.bytesFreed(byRemoving: plan.removed, measured: measuring)
        if plan.isPolicyIdle {
            throw BackupError(
                .refused, "no backup has the tags that the policy keeps; nothing was removed",
                advice: "Is one misspelt? 'show NAME' has a backup's tags")
        }
        return plan
    }

    func prune(session: AppSession, confirm: (RetentionPlan) throws -> Bool) throws -> PruneResult {
        // Before the lock makes anything: where nothing is to be removed, nothing changes.
        let preview = try preview(measuring: false)
        guard !preview.removed.isEmpty else {
            return PruneResult(plan: preview, removed: [], bytesFreed: 0, wasDeclined: false)
        }
        let local = try places.chosen(beside: try places.backups(), pool: pool, in: run)
        return try session.holding(local, "prune") {
            let plan = try plan(local)
            try check(plan)
            guard try plan.removed.isEmpty || confirm(plan) else {
                return PruneResult(plan: plan, removed: [], bytesFreed: 0, wasDeclined: true)
            }
            if !plan.removed.isEmpty { try prove(plan, local) }
            // Oldest first: what an interruption leaves is the newest.
            let removed = try Deleting(places: places, pool: pool, run: run).remove(
                plan.removed.reversed(), from: local, for: "prune")
            return PruneResult(
                plan: plan, removed: removed, bytesFreed: freed(plan, local), wasDeclined: false)
        }
    }

    private func check(_ plan: RetentionPlan) throws {
        guard plan.removesMany, !removesMany else { return }
        throw BackupError(
            .refused, "this would remove \(plan.removed.count) of \(plan.decisions.count) backups, more than half",
            advice: "Nothing was removed. Look at it with --dry-run, and add --yes-remove-many if it is meant")
    }

    private func freed(_ plan: RetentionPlan, _ local: AppBackups) -> UInt64 {
        do {
            var left = try local.backups().backups
            let together = try local.measure(&left)
            return plan.bytesTogether > together ? plan.bytesTogether - together : 0
        } catch {
            // They are gone all the same.
            run.report(.note("what was freed could not be measured: \(error)"))
            return plan.bytesFreed ?? 0
        }
    }
}

// Nothing is deleted before what replaces it is proven (promise 12).
extension RetentionRun {
    private func prove(_ plan: RetentionPlan, _ local: AppBackups) throws {
        guard let proof = plan.proof else {
            throw BackupError(
                .damaged, "there is no undamaged backup that could replace what would be removed; nothing was removed",
                advice: "Make one with 'create' first")
        }
        let contents: any BackupContents
        let container = local.container(for: proof.format)
        do {
            if proof.isEncrypted, try run.passwords.known() == nil { return try proveWithoutPassword(proof, container) }
            contents = try container.contents(of: proof.name)
        } catch let error as BackupError where error.code == .wrongPassword {
            return try proveWithoutPassword(proof, container)
        } catch let error as BackupError where error.code == .damaged {
            throw damaged(proof, error.message)
        }
        // A record says what was; whether names, kinds, sizes and times are still those is known without reading content.
        if proof.isVerified, try contents.verify(percent: 0, choice: 0, pool: pool, in: run).findings.isEmpty { return }
        run.report(.note("reading \(proof.name) back before anything is removed"))
        let verified = try contents.verify(percent: 100, choice: 0, pool: pool, in: run)
        if let seal = contents.seal {
            local.place.remember(verified, of: proof.format.fileName(of: proof.name), seal: seal, percent: 100)
        }
        if let damage = verified.findings.first(where: { $0.severity == .damage }) {
            throw damaged(proof, "\(damage.subject): \(damage.message)")
        }
    }

    /// All bytes are as they were written; that they can be decrypted, only who has the password can prove.
    private func proveWithoutPassword(_ proof: Backup, _ container: any Container) throws {
        if !proof.isVerified {
            run.report(.note("reading \(proof.name) before anything is removed, without its password"))
        }
        let findings = try container.findingsWithoutPassword(of: proof.name, isWhole: !proof.isVerified)
        if let damage = findings.first { throw damaged(proof, "\(damage.subject): \(damage.message)") }
    }

    private func damaged(_ backup: Backup, _ what: String) -> BackupError {
        BackupError(
            .damaged, "the newest backup '\(backup.name)' is damaged, and nothing was removed: \(what)",
            advice: "Make a new one with 'create' first; 'verify \(backup.name)' tells more")
    }
}
