CREATE TABLE accounts (
  "id" TEXT NOT NULL,
  "seq" BIGINT NOT NULL,
  "head" TEXT NOT NULL,
  "admin" SMALLINT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_accounts PRIMARY KEY ("id"),
  CONSTRAINT ck_accounts_admin CHECK ("admin" IN (0, 1))
)

CREATE TABLE agent_presences (
  "provider" TEXT NOT NULL,
  "agent" TEXT NOT NULL,
  "pool" TEXT NOT NULL,
  "last_seen_ms" BIGINT NOT NULL,
  "agent_version" TEXT NOT NULL,
  "driver" TEXT NOT NULL,
  "scope" TEXT NOT NULL,
  "instances" BIGINT NOT NULL,
  "alarms" TEXT NOT NULL,
  CONSTRAINT pk_agent_presences PRIMARY KEY ("provider", "agent")
)

CREATE TABLE answers (
  "caller" TEXT NOT NULL,
  "key" TEXT NOT NULL,
  "request_hash" TEXT NOT NULL,
  "status" BIGINT NOT NULL,
  "body" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  CONSTRAINT pk_answers PRIMARY KEY ("caller", "key")
)

CREATE INDEX ix_answers_age ON answers ("created_at_ms")

CREATE TABLE balances (
  "account" TEXT NOT NULL,
  "owner" TEXT NOT NULL,
  "asset" TEXT NOT NULL,
  "side" TEXT NOT NULL,
  "floored" SMALLINT NOT NULL,
  "balance_minor" BIGINT NOT NULL,
  CONSTRAINT pk_balances PRIMARY KEY ("account", "asset"),
  CONSTRAINT ck_balances_asset CHECK ("asset" IN ('USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT')),
  CONSTRAINT ck_balances_side CHECK ("side" IN ('debit', 'credit')),
  CONSTRAINT ck_balances_floored CHECK (floored IN (0, 1)),
  CONSTRAINT ck_balances_floor CHECK (floored = 0 OR balance_minor >= 0)
)

CREATE INDEX ix_balances_owner ON balances ("owner")

CREATE TABLE contracts (
  "id" TEXT NOT NULL,
  "digest" TEXT NOT NULL,
  "tenant" TEXT NOT NULL,
  "provider" TEXT NOT NULL,
  "offering" TEXT NOT NULL,
  "offering_title" TEXT NOT NULL,
  "pool" TEXT NOT NULL,
  "state" TEXT NOT NULL,
  "state_since_ms" BIGINT NOT NULL,
  "deadline_ms" BIGINT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "order" TEXT NOT NULL,
  "offer_hash" TEXT NOT NULL,
  "hours" BIGINT NOT NULL,
  "total_minor" BIGINT NOT NULL,
  "asset" TEXT NOT NULL,
  "plan" TEXT NOT NULL,
  "accept_mode" TEXT NOT NULL,
  "provision_timeout_s" BIGINT NOT NULL,
  "penalty_ppm" BIGINT NOT NULL,
  "renews" SMALLINT NOT NULL,
  "self_rental" SMALLINT NOT NULL,
  "resume_to" TEXT NOT NULL,
  "resume_deadline_ms" BIGINT NOT NULL,
  "active_since_ms" BIGINT NOT NULL,
  "clock_from_ms" BIGINT NOT NULL,
  "served_ms" BIGINT NOT NULL,
  "paid_until_ms" BIGINT NOT NULL,
  "suspended_ms" BIGINT NOT NULL,
  "host" TEXT NOT NULL,
  "port" BIGINT NOT NULL,
  "host_keys" TEXT NOT NULL,
  "checks_from_ms" BIGINT NOT NULL,
  "end_reason" TEXT NOT NULL,
  "ended_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_contracts PRIMARY KEY ("id"),
  CONSTRAINT uq_contracts_digest UNIQUE ("digest"),
  CONSTRAINT ck_contracts_state CHECK ("state" IN ('requested', 'pending', 'accepted', 'provisioning', 'provisioned', 'active', 'suspended', 'lapsed', 'completed', 'cancelled', 'rejected', 'expired', 'failed')),
  CONSTRAINT ck_contracts_asset CHECK ("asset" IN ('USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT')),
  CONSTRAINT ck_contracts_accept_mode CHECK ("accept_mode" IN ('auto', 'manual')),
  CONSTRAINT ck_contracts_renews CHECK ("renews" IN (0, 1)),
  CONSTRAINT ck_contracts_self_rental CHECK ("self_rental" IN (0, 1))
)

CREATE INDEX ix_contracts_deadline ON contracts ("deadline_ms") WHERE deadline_ms > 0

CREATE INDEX ix_contracts_pool ON contracts ("pool", "state", "id")

CREATE INDEX ix_contracts_provider ON contracts ("provider", "id")

CREATE INDEX ix_contracts_state ON contracts ("state", "id")

CREATE INDEX ix_contracts_tenant ON contracts ("tenant", "id")

CREATE TABLE delegations (
  "provider" TEXT NOT NULL,
  "agent" TEXT NOT NULL,
  "pool" TEXT NOT NULL,
  "permissions" TEXT NOT NULL,
  "not_after_s" BIGINT NOT NULL,
  "revoked" SMALLINT NOT NULL,
  "statement" TEXT NOT NULL,
  "digest" TEXT NOT NULL,
  "label" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_delegations PRIMARY KEY ("provider", "agent"),
  CONSTRAINT ck_delegations_revoked CHECK ("revoked" IN (0, 1))
)

CREATE TABLE jobs (
  "id" TEXT NOT NULL,
  "kind" TEXT NOT NULL,
  "key" TEXT NOT NULL,
  "run_at_ms" BIGINT NOT NULL,
  "data" TEXT NOT NULL,
  "step" TEXT NOT NULL,
  "state" TEXT NOT NULL,
  "owner" TEXT NOT NULL,
  "lease_until_ms" BIGINT NOT NULL,
  "fence" BIGINT NOT NULL,
  "attempts" BIGINT NOT NULL,
  "error" TEXT NOT NULL,
  CONSTRAINT pk_jobs PRIMARY KEY ("id"),
  CONSTRAINT uq_jobs_key UNIQUE ("key"),
  CONSTRAINT ck_jobs_state CHECK ("state" IN ('ready', 'done', 'dead'))
)

CREATE INDEX ix_jobs_held ON jobs ("lease_until_ms") WHERE state = 'ready' AND lease_until_ms > 0

CREATE INDEX ix_jobs_ready ON jobs ("run_at_ms") WHERE state = 'ready'

CREATE TABLE nonces (
  "keyid" TEXT NOT NULL,
  "nonce" TEXT NOT NULL,
  "expires_at_ms" BIGINT NOT NULL,
  CONSTRAINT pk_nonces PRIMARY KEY ("keyid", "nonce")
)
 WITHOUT ROWID

CREATE INDEX ix_nonces_expiry ON nonces ("expires_at_ms")

CREATE TABLE offerings (
  "id" TEXT NOT NULL,
  "provider" TEXT NOT NULL,
  "pool" TEXT NOT NULL,
  "state" TEXT NOT NULL,
  "visibility" TEXT NOT NULL,
  "title" TEXT NOT NULL,
  "description" TEXT NOT NULL,
  "kind" TEXT NOT NULL,
  "image" TEXT NOT NULL,
  "cpu_milli" BIGINT NOT NULL,
  "memory_mib" BIGINT NOT NULL,
  "disk_gib" BIGINT NOT NULL,
  "country" TEXT NOT NULL,
  "region" TEXT NOT NULL,
  "asset" TEXT NOT NULL,
  "price_minor_per_hour" BIGINT NOT NULL,
  "stock" BIGINT NOT NULL,
  "reserved" BIGINT NOT NULL,
  "min_hours" BIGINT NOT NULL,
  "max_hours" BIGINT NOT NULL,
  "accept_mode" TEXT NOT NULL,
  "provision_timeout_s" BIGINT NOT NULL,
  "penalty_ppm" BIGINT NOT NULL,
  "settings" TEXT NOT NULL,
  "allowed_accounts" TEXT NOT NULL,
  "updated_at_ms" BIGINT NOT NULL,
  "n" BIGINT NOT NULL,
  "terms" TEXT NOT NULL,
  "offer" TEXT NOT NULL,
  "offer_hash" TEXT NOT NULL,
  "version" BIGINT NOT NULL,
  "searched" TEXT NOT NULL,
  CONSTRAINT pk_offerings PRIMARY KEY ("id"),
  CONSTRAINT ck_offerings_reserved_floor CHECK (reserved >= 0),
  CONSTRAINT ck_offerings_state CHECK ("state" IN ('draft', 'published', 'withdrawn')),
  CONSTRAINT ck_offerings_visibility CHECK ("visibility" IN ('public', 'shared', 'private')),
  CONSTRAINT ck_offerings_kind CHECK ("kind" IN ('vm', 'container', 'gpu', 'dedicated')),
  CONSTRAINT ck_offerings_asset CHECK ("asset" IN ('USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT')),
  CONSTRAINT ck_offerings_accept_mode CHECK ("accept_mode" IN ('auto', 'manual'))
)

CREATE INDEX ix_offerings_provider ON offerings ("provider", "id")

CREATE INDEX ix_offerings_search ON offerings ("state", "asset", "price_minor_per_hour", "id")

CREATE TABLE outbox (
  "seq" INTEGER NOT NULL,
  "stream" TEXT NOT NULL,
  "kind" TEXT NOT NULL,
  "subject" TEXT NOT NULL,
  "data" TEXT NOT NULL,
  "at_ms" BIGINT NOT NULL,
  PRIMARY KEY ("seq")
)

CREATE INDEX ix_outbox_stream ON outbox ("stream", "seq")

CREATE TABLE pairings (
  "rid" TEXT NOT NULL,
  "account" TEXT NOT NULL,
  "pool" TEXT NOT NULL,
  "old_message" TEXT NOT NULL,
  "new_message" TEXT NOT NULL,
  "expires_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_pairings PRIMARY KEY ("rid")
)

CREATE TABLE payments (
  "id" TEXT NOT NULL,
  "payer" TEXT NOT NULL,
  "purpose" TEXT NOT NULL,
  "contract" TEXT NOT NULL,
  "term" TEXT NOT NULL,
  "processor" TEXT NOT NULL,
  "instrument" TEXT NOT NULL,
  "asset" TEXT NOT NULL,
  "amount_minor" BIGINT NOT NULL,
  "state" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "deadline_ms" BIGINT NOT NULL,
  "external" TEXT NOT NULL,
  "received_minor" BIGINT NOT NULL,
  "refunded_minor" BIGINT NOT NULL,
  "detail" TEXT NOT NULL,
  "settled_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_payments PRIMARY KEY ("id"),
  CONSTRAINT ck_payments_purpose CHECK ("purpose" IN ('term', 'topup', 'pack', 'plan', 'debt')),
  CONSTRAINT ck_payments_asset CHECK ("asset" IN ('USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT')),
  CONSTRAINT ck_payments_state CHECK ("state" IN ('created', 'settled', 'held_for_review', 'expired', 'failed', 'settled_late', 'returned', 'disputed', 'won', 'lost'))
)

CREATE INDEX ix_payments_contract ON payments ("contract")

CREATE INDEX ix_payments_deadline ON payments ("deadline_ms") WHERE deadline_ms > 0

CREATE UNIQUE INDEX uq_payments_external ON payments ("processor", "external") WHERE external <> ''

CREATE UNIQUE INDEX uq_payments_open ON payments ("term") WHERE purpose = 'term' AND state IN ('created', 'held_for_review')

CREATE TABLE personal (
  "account" TEXT NOT NULL,
  "wrapped_key" BLOB NOT NULL,
  "sealed" BLOB NOT NULL,
  CONSTRAINT pk_personal PRIMARY KEY ("account")
)

CREATE TABLE platform (
  "name" TEXT NOT NULL,
  "value" TEXT NOT NULL,
  CONSTRAINT pk_platform PRIMARY KEY ("name")
)

CREATE TABLE pools (
  "id" TEXT NOT NULL,
  "provider" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "driver" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "log_seq" BIGINT NOT NULL,
  "log_hash" TEXT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_pools PRIMARY KEY ("id"),
  CONSTRAINT uq_pools_provider_name UNIQUE ("provider", "name")
)

CREATE TABLE providers (
  "id" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "website" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_providers PRIMARY KEY ("id")
)

CREATE TABLE refunds (
  "id" TEXT NOT NULL,
  "payment" TEXT NOT NULL,
  "payee" TEXT NOT NULL,
  "contract" TEXT NOT NULL,
  "term" TEXT NOT NULL,
  "processor" TEXT NOT NULL,
  "asset" TEXT NOT NULL,
  "amount_minor" BIGINT NOT NULL,
  "source" TEXT NOT NULL,
  "state" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "deadline_ms" BIGINT NOT NULL,
  "external" TEXT NOT NULL,
  "reason" TEXT NOT NULL,
  "attempts" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_refunds PRIMARY KEY ("id"),
  CONSTRAINT ck_refunds_asset CHECK ("asset" IN ('USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT')),
  CONSTRAINT ck_refunds_state CHECK ("state" IN ('planned', 'sent', 'awaiting_choice', 'credited', 'confirmed', 'failed'))
)

CREATE INDEX ix_refunds_contract ON refunds ("contract")

CREATE TABLE transfers (
  "seq" INTEGER NOT NULL,
  "id" TEXT NOT NULL,
  "debit" TEXT NOT NULL,
  "credit" TEXT NOT NULL,
  "asset" TEXT NOT NULL,
  "amount_minor" BIGINT NOT NULL,
  "kind" TEXT NOT NULL,
  "reference" TEXT NOT NULL,
  "booked_at_ms" BIGINT NOT NULL,
  "occurred_at_ms" BIGINT NOT NULL,
  PRIMARY KEY ("seq"),
  CONSTRAINT uq_transfers_id UNIQUE ("id"),
  CONSTRAINT ck_transfers_asset CHECK ("asset" IN ('USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT')),
  CONSTRAINT ck_transfers_amount CHECK (amount_minor > 0),
  CONSTRAINT ck_transfers_two_accounts CHECK (debit <> credit)
)

CREATE INDEX ix_transfers_reference ON transfers ("reference", "seq")

CREATE TABLE assignments (
  "contract" TEXT NOT NULL,
  "provider" TEXT NOT NULL,
  "pool" TEXT NOT NULL,
  "state" TEXT NOT NULL,
  "desired" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  "attempt" BIGINT NOT NULL,
  "fence" BIGINT NOT NULL,
  "holder" TEXT NOT NULL,
  "lease_expires_ms" BIGINT NOT NULL,
  "scope" TEXT NOT NULL,
  "instance" TEXT NOT NULL,
  "observed" TEXT NOT NULL,
  "observed_at_ms" BIGINT NOT NULL,
  "ended_at_ms" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_assignments PRIMARY KEY ("contract"),
  CONSTRAINT fk_assignments_contract FOREIGN KEY("contract") REFERENCES contracts ("id") DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT ck_assignments_state CHECK ("state" IN ('open', 'leased', 'create_started', 'bound', 'ended')),
  CONSTRAINT ck_assignments_desired CHECK ("desired" IN ('running', 'stopped', 'absent')),
  CONSTRAINT ck_assignments_observed CHECK ("observed" IN ('unknown', 'absent', 'creating', 'running', 'stopped', 'deleting', 'quarantined'))
)

CREATE INDEX ix_assignments_live ON assignments ("pool", "created_at_ms") WHERE state <> 'ended'

CREATE TABLE contract_history (
  "contract" TEXT NOT NULL,
  "version" BIGINT NOT NULL,
  "at_ms" BIGINT NOT NULL,
  "actor" TEXT NOT NULL,
  "event" TEXT NOT NULL,
  "from_state" TEXT NOT NULL,
  "to_state" TEXT NOT NULL,
  "reason" TEXT NOT NULL,
  "evidence" TEXT NOT NULL,
  CONSTRAINT pk_contract_history PRIMARY KEY ("contract", "version"),
  CONSTRAINT fk_contract_history_contract FOREIGN KEY("contract") REFERENCES contracts ("id") DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT ck_contract_history_to_state CHECK ("to_state" IN ('requested', 'pending', 'accepted', 'provisioning', 'provisioned', 'active', 'suspended', 'lapsed', 'completed', 'cancelled', 'rejected', 'expired', 'failed'))
)

CREATE TABLE credentials (
  "contract" TEXT NOT NULL,
  "n" BIGINT NOT NULL,
  "gen" BIGINT NOT NULL,
  "outer" TEXT NOT NULL,
  "agent" TEXT NOT NULL,
  "created_at_ms" BIGINT NOT NULL,
  CONSTRAINT pk_credentials PRIMARY KEY ("contract", "n"),
  CONSTRAINT fk_credentials_contract FOREIGN KEY("contract") REFERENCES contracts ("id") DEFERRABLE INITIALLY DEFERRED
)

CREATE TABLE devices (
  "account" TEXT NOT NULL,
  "kid" TEXT NOT NULL,
  "sig_hex" TEXT NOT NULL,
  "enc_hex" TEXT NOT NULL,
  "rank" BIGINT NOT NULL,
  "type" TEXT NOT NULL,
  "active" SMALLINT NOT NULL,
  "since_seq" BIGINT NOT NULL,
  CONSTRAINT pk_devices PRIMARY KEY ("account", "kid"),
  CONSTRAINT fk_devices_account FOREIGN KEY("account") REFERENCES accounts ("id") DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT ck_devices_active CHECK ("active" IN (0, 1))
)

CREATE TABLE links (
  "account" TEXT NOT NULL,
  "seq" BIGINT NOT NULL,
  "hash" TEXT NOT NULL,
  "statement" TEXT NOT NULL,
  "added_at_ms" BIGINT NOT NULL,
  CONSTRAINT pk_links PRIMARY KEY ("account", "seq"),
  CONSTRAINT fk_links_account FOREIGN KEY("account") REFERENCES accounts ("id") DEFERRABLE INITIALLY DEFERRED
)

CREATE TABLE old_seeds (
  "account" TEXT NOT NULL,
  "gen" BIGINT NOT NULL,
  "box" TEXT NOT NULL,
  CONSTRAINT pk_old_seeds PRIMARY KEY ("account", "gen"),
  CONSTRAINT fk_old_seeds_account FOREIGN KEY("account") REFERENCES accounts ("id") DEFERRABLE INITIALLY DEFERRED
)

CREATE TABLE pool_log (
  "pool" TEXT NOT NULL,
  "seq" BIGINT NOT NULL,
  "hash" TEXT NOT NULL,
  "entry" TEXT NOT NULL,
  CONSTRAINT pk_pool_log PRIMARY KEY ("pool", "seq"),
  CONSTRAINT fk_pool_log_pool FOREIGN KEY("pool") REFERENCES pools ("id") DEFERRABLE INITIALLY DEFERRED
)

CREATE TABLE seed_boxes (
  "account" TEXT NOT NULL,
  "kid" TEXT NOT NULL,
  "gen" BIGINT NOT NULL,
  "box" TEXT NOT NULL,
  CONSTRAINT pk_seed_boxes PRIMARY KEY ("account", "kid", "gen"),
  CONSTRAINT fk_seed_boxes_account FOREIGN KEY("account") REFERENCES accounts ("id") DEFERRABLE INITIALLY DEFERRED
)

CREATE TABLE terms (
  "id" TEXT NOT NULL,
  "contract" TEXT NOT NULL,
  "ordinal" BIGINT NOT NULL,
  "hours" BIGINT NOT NULL,
  "asset" TEXT NOT NULL,
  "amount_minor" BIGINT NOT NULL,
  "fee_ppm" BIGINT NOT NULL,
  "order" TEXT NOT NULL,
  "digest" TEXT NOT NULL,
  "paid" SMALLINT NOT NULL,
  "from_ms" BIGINT NOT NULL,
  "to_ms" BIGINT NOT NULL,
  "released_minor" BIGINT NOT NULL,
  "fee_minor" BIGINT NOT NULL,
  "refunded_minor" BIGINT NOT NULL,
  "credited_minor" BIGINT NOT NULL,
  "lost_minor" BIGINT NOT NULL,
  "version" BIGINT NOT NULL,
  CONSTRAINT pk_terms PRIMARY KEY ("id"),
  CONSTRAINT uq_terms_digest UNIQUE ("digest"),
  CONSTRAINT uq_terms_contract_ordinal UNIQUE ("contract", "ordinal"),
  CONSTRAINT fk_terms_contract FOREIGN KEY("contract") REFERENCES contracts ("id") DEFERRABLE INITIALLY DEFERRED,
  CONSTRAINT ck_terms_asset CHECK ("asset" IN ('USD', 'EUR', 'ICP', 'ckBTC', 'ckUSDC', 'ckUSDT', 'DCT')),
  CONSTRAINT ck_terms_paid CHECK ("paid" IN (0, 1))
)

CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers
BEGIN SELECT RAISE(ABORT, 'transfers: booked for ever'); END

CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers
BEGIN SELECT RAISE(ABORT, 'transfers: booked for ever'); END

CREATE TRIGGER transfers_no_replace BEFORE INSERT ON transfers
WHEN EXISTS (SELECT 1 FROM transfers WHERE id = NEW.id OR seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'transfers: this id was booked before'); END
