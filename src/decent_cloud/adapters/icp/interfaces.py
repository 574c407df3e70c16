"""The few canister methods we call, described in our own words; every read may be called as an update."""

from __future__ import annotations

from decent_cloud.adapters.icp.candid import interface

_ICRC1 = """
type Account = record { owner : principal; subaccount : opt blob };
type Transfer = record {
  from_subaccount : opt blob; to : Account; amount : nat;
  fee : opt nat; memo : opt blob; created_at_time : opt nat64;
};
type Refusal = variant {
  BadFee : record { expected_fee : nat };
  BadBurn : record { min_burn_amount : nat };
  InsufficientFunds : record { balance : nat };
  TooOld;
  CreatedInFuture : record { ledger_time : nat64 };
  TemporarilyUnavailable;
  Duplicate : record { duplicate_of : nat };
  GenericError : record { error_code : nat; message : text };
};
"""

_ICRC1_METHODS = """
  icrc1_fee : () -> (nat);
  icrc1_decimals : () -> (nat8);
  icrc1_symbol : () -> (text);
  icrc1_minting_account : () -> (opt Account);
  icrc1_balance_of : (Account) -> (nat);
  icrc1_transfer : (Transfer) -> (variant { Ok : nat; Err : Refusal });
"""

# ck tokens and SNS ledgers, and the archives they list.
ICRC_LEDGER = interface(
    _ICRC1
    + """
type Value = variant {
  Blob : blob; Text : text; Nat : nat; Int : int; Array : vec Value; Map : vec record { text; Value };
};
type Range = record { start : nat; length : nat };
type Blocks = record {
  log_length : nat;
  blocks : vec record { id : nat; block : Value };
  archived_blocks : vec record { args : vec Range; callback : func (vec Range) -> (Blocks) query };
};
service : {
"""
    + _ICRC1_METHODS
    + """
  icrc3_get_blocks : (vec Range) -> (Blocks);
  icrc3_get_archives : (record { from : opt principal }) -> (
    vec record { canister_id : principal; start : nat; end : nat });
}
"""
)

# The ICP ledger, whose log knows accounts by their identifiers, and its archives.
_ICP_LOG = """
type Tokens = record { e8s : nat64 };
type Instant = record { timestamp_nanos : nat64 };
type Operation = variant {
  Mint : record { to : blob; amount : Tokens };
  Burn : record { from : blob; spender : opt blob; amount : Tokens };
  Transfer : record { from : blob; to : blob; amount : Tokens; fee : Tokens; spender : opt blob };
  Approve : record {
    from : blob; spender : blob; allowance_e8s : int; allowance : Tokens; fee : Tokens;
    expires_at : opt Instant; expected_allowance : opt Tokens;
  };
};
type Block = record {
  parent_hash : opt blob;
  transaction : record {
    memo : nat64; icrc1_memo : opt blob; operation : opt Operation; created_at_time : Instant;
  };
  timestamp : Instant;
};
type Range = record { start : nat64; length : nat64 };
type Found = variant {
  Ok : record { blocks : vec Block };
  Err : variant {
    BadFirstBlockIndex : record { requested_index : nat64; first_valid_index : nat64 };
    Other : record { error_code : nat64; error_message : text };
  };
};
"""
ICP_LEDGER = interface(
    _ICRC1
    + _ICP_LOG
    + """
service : {
"""
    + _ICRC1_METHODS
    + """
  query_blocks : (Range) -> (record {
    chain_length : nat64; certificate : opt blob; blocks : vec Block; first_block_index : nat64;
    archived_blocks : vec record { start : nat64; length : nat64; callback : func (Range) -> (Found) query };
  });
  archives : () -> (record { archives : vec record { canister_id : principal } });
}
"""
)
ICP_ARCHIVE = interface(_ICP_LOG + "service : { get_blocks : (Range) -> (Found) }")

# The DCT ledger: its icrc3 methods stand in its interface but not in its code.
DCT_LEDGER = interface(
    _ICRC1
    + """
type Range = record { start : nat; length : nat };
type Burn = record {
  from : Account; amount : nat; memo : opt blob; created_at_time : opt nat64; spender : opt Account;
};
type Mint = record { to : Account; amount : nat; memo : opt blob; created_at_time : opt nat64 };
type Moved = record {
  from : Account; to : Account; amount : nat; fee : opt nat; memo : opt blob;
  created_at_time : opt nat64; spender : opt Account;
};
type Transaction = record {
  kind : text; timestamp : nat64; burn : opt Burn; mint : opt Mint; transfer : opt Moved;
};
type Archived = func (Range) -> (record { transactions : vec Transaction }) query;
service : {
"""
    + _ICRC1_METHODS
    + """
  get_transactions : (Range) -> (record {
    log_length : nat; first_index : nat; transactions : vec Transaction;
    archived_transactions : vec record { start : nat; length : nat; callback : Archived };
  });
}
"""
)
