//! The commands: their names, where their first key stands, and which of them change what the connection means.

/// A command of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) key: KeyAt,
    pub(super) act: Act,
}

/// Where a command's first key stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum KeyAt {
    /// It has none, or none that is told by position.
    #[default]
    None,
    /// At this argument; the command's name is number 0.
    Arg(u8),
    /// After the argument that counts the keys.
    Counted(u8),
    /// After the word `STREAMS`, which is not looked for before this argument.
    Streams(u8),
}

/// What a command does beside being answered once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Act {
    #[default]
    Plain,
    /// Reads one value: nil is a miss.
    Read,
    /// The next word belongs to its name.
    Container,
    Auth,
    Client,
    Exec,
    Monitor,
    Multi,
    Ping,
    Psync,
    Replconf,
    Reset,
    Select,
    Subscribe,
    Sync,
    Unsubscribe,
}

/// The command of this name, in whatever case.
pub(super) fn lookup(name: &[u8]) -> Option<&'static Known> {
    let mut slot = slot(name);
    while let Some(command) = TABLE.get(slot)?.as_ref() {
        if command.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        slot = (slot + 1) % SLOTS;
    }
    None
}

/// The subcommand `word` of a container command, in upper case; anything else that was typed there is content.
pub(super) fn subcommand(container: &str, word: &[u8]) -> Option<&'static str> {
    let (_, words) = SUBCOMMANDS.iter().find(|(name, _)| *name == container)?;
    words.split(' ').find(|known| known.as_bytes().eq_ignore_ascii_case(word))
}

/// Whether this may be the name of a command that is not in the table: a newer one, or a module's.
pub(super) fn plausible(name: &[u8]) -> bool {
    name.len() <= LONGEST && name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().all(|&b| is_word(b))
}

/// Whether a name of a command may hold this byte.
pub(super) const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'|')
}

/// Most bytes a command's name or subcommand may have.
pub(super) const LONGEST: usize = 32;

const SLOTS: usize = 1024;

type Table = [Option<Known>; SLOTS];

static TABLE: Table = table();

const fn slot(name: &[u8]) -> usize {
    let mut hash = name.len();
    let mut rest = name;
    while let [first, tail @ ..] = rest {
        // Clearing bit 5 makes letters upper case; what it does to other bytes does not matter.
        hash = hash.wrapping_mul(31).wrapping_add((*first & 0xdf) as usize);
        rest = tail;
    }
    hash % SLOTS
}

const fn table() -> Table {
    let mut t = [None; SLOTS];
    t = add(t, READS, KeyAt::Arg(1), Act::Read);
    t = add(t, "RANDOMKEY", KeyAt::None, Act::Read);
    t = add(t, FIRST, KeyAt::Arg(1), Act::Plain);
    t = add(t, "BITOP", KeyAt::Arg(2), Act::Plain);
    t = add(t, "MIGRATE", KeyAt::Arg(3), Act::Plain);
    t = add(t, "LMPOP MSETEX SINTERCARD ZDIFF ZINTER ZINTERCARD ZMPOP ZUNION", KeyAt::Counted(1), Act::Plain);
    t = add(t, "BLMPOP BZMPOP EVAL EVAL_RO EVALSHA EVALSHA_RO FCALL FCALL_RO", KeyAt::Counted(2), Act::Plain);
    t = add(t, "XREAD", KeyAt::Streams(1), Act::Plain);
    t = add(t, "XREADGROUP", KeyAt::Streams(4), Act::Plain);
    t = add(t, "MEMORY OBJECT XGROUP XINFO", KeyAt::Arg(2), Act::Container);
    t = add(t, CONTAINERS, KeyAt::None, Act::Container);
    t = add(t, KEYLESS, KeyAt::None, Act::Plain);
    t = add(t, MODULES, KeyAt::Arg(1), Act::Plain);
    t = add(t, MODULES_KEYLESS, KeyAt::None, Act::Plain);
    t = add(t, "PSUBSCRIBE SSUBSCRIBE SUBSCRIBE", KeyAt::Arg(1), Act::Subscribe);
    t = add(t, "PUNSUBSCRIBE SUNSUBSCRIBE UNSUBSCRIBE", KeyAt::Arg(1), Act::Unsubscribe);
    t = add(t, "AUTH HELLO", KeyAt::None, Act::Auth);
    t = add(t, "CLIENT", KeyAt::None, Act::Client);
    t = add(t, "DISCARD EXEC", KeyAt::None, Act::Exec);
    t = add(t, "MONITOR", KeyAt::None, Act::Monitor);
    t = add(t, "MULTI", KeyAt::None, Act::Multi);
    t = add(t, "PING", KeyAt::None, Act::Ping);
    t = add(t, "PSYNC", KeyAt::None, Act::Psync);
    t = add(t, "REPLCONF", KeyAt::None, Act::Replconf);
    t = add(t, "QUIT RESET", KeyAt::None, Act::Reset);
    t = add(t, "SELECT", KeyAt::None, Act::Select);
    add(t, "SYNC", KeyAt::None, Act::Sync)
}

/// The names, parted by single spaces.
#[expect(clippy::indexing_slicing, reason = "evaluated at compile time, on constants")]
const fn add(mut table: Table, mut names: &'static str, key: KeyAt, act: Act) -> Table {
    while !names.is_empty() {
        let mut end = 0;
        while end < names.len() && names.as_bytes()[end] != b' ' {
            end += 1;
        }
        let (name, rest) = names.split_at(end);
        names = if rest.is_empty() { rest } else { rest.split_at(1).1 };
        let mut at = slot(name.as_bytes());
        while table[at].is_some() {
            at = (at + 1) % SLOTS;
        }
        table[at] = Some(Known { name, key, act });
    }
    table
}

const READS: &str = "\
GET GETDEL GETEX HGET LINDEX LPOP RPOP SPOP SRANDMEMBER ZRANK ZREVRANK ZSCORE GETSET DUMP GEODIST HRANDFIELD \
ZRANDMEMBER LPOS BLPOP BRPOP BLMOVE BRPOPLPUSH LMOVE RPOPLPUSH BZPOPMIN BZPOPMAX";

const FIRST: &str = "\
APPEND BITCOUNT BITFIELD BITFIELD_RO BITPOS COPY DECR DECRBY DEL DELEX DELIFEQ DIGEST EXISTS EXPIRE EXPIREAT EXPIRETIME \
GEOADD GEOHASH GEOPOS GEORADIUS GEORADIUSBYMEMBER GEORADIUSBYMEMBER_RO GEORADIUS_RO GEOSEARCH GEOSEARCHSTORE GETBIT GETRANGE HDEL \
HEXISTS HEXPIRE HEXPIREAT HEXPIRETIME HGETALL HGETDEL HGETEX HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE \
HPEXPIREAT HPEXPIRETIME HPTTL HSCAN HSET HSETEX HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT KEYS LCS LINSERT LLEN \
LPUSH LPUSHX LRANGE LREM LSET LTRIM MGET MOVE MSET MSETNX PERSIST PEXPIRE PEXPIREAT PEXPIRETIME PFADD PFCOUNT PFMERGE \
PSETEX PTTL PUBLISH RENAME RENAMENX RESTORE RESTORE-ASKING RPUSH RPUSHX SADD SCARD SDIFF SDIFFSTORE SET SETBIT SETEX SETNX \
SETRANGE SINTER SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SORT SORT_RO SPUBLISH SREM SSCAN STRLEN SUBSTR SUNION \
SUNIONSTORE TOUCH TTL TYPE UNLINK VADD VCARD VDIM VEMB VGETATTR VINFO VISMEMBER VLINKS VRANDMEMBER VREM VSETATTR VSIM WATCH \
XACK XACKDEL XADD XAUTOCLAIM XCLAIM XDEL XDELEX XLEN XPENDING XRANGE XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT ZDIFFSTORE \
ZINCRBY ZINTERSTORE ZLEXCOUNT ZMSCORE ZPOPMAX ZPOPMIN ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZREM ZREMRANGEBYLEX \
ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREVRANGE ZREVRANGEBYLEX ZREVRANGEBYSCORE ZSCAN ZUNIONSTORE";

const CONTAINERS: &str = "\
ACL CLUSTER COMMAND CONFIG DEBUG FUNCTION LATENCY MODULE PUBSUB SCRIPT SENTINEL SLOWLOG";

const KEYLESS: &str = "\
ASKING BGREWRITEAOF BGSAVE DBSIZE ECHO FAILOVER FLUSHALL FLUSHDB INFO LASTSAVE LOLWUT PFDEBUG PFSELFTEST READONLY READWRITE \
REPLICAOF ROLE SAVE SCAN SHUTDOWN SLAVEOF SWAPDB TIME UNWATCH WAIT WAITAOF";

/// Of the modules that come with the server.
const MODULES: &str = "\
BF.ADD BF.CARD BF.EXISTS BF.INFO BF.INSERT BF.LOADCHUNK BF.MADD BF.MEXISTS BF.RESERVE BF.SCANDUMP CF.ADD CF.ADDNX CF.COUNT CF.DEL \
CF.EXISTS CF.INFO CF.INSERT CF.INSERTNX CF.LOADCHUNK CF.MEXISTS CF.RESERVE CF.SCANDUMP CMS.INCRBY CMS.INFO CMS.INITBYDIM \
CMS.INITBYPROB CMS.MERGE CMS.QUERY FT.AGGREGATE FT.ALTER FT.CREATE FT.DICTADD FT.DICTDEL FT.DICTDUMP FT.DROPINDEX FT.EXPLAIN \
FT.EXPLAINCLI FT.HYBRID FT.INFO FT.PROFILE FT.SEARCH FT.SPELLCHECK FT.SUGADD FT.SUGDEL FT.SUGGET FT.SUGLEN FT.SYNDUMP FT.SYNUPDATE \
FT.TAGVALS JSON.ARRAPPEND JSON.ARRINDEX JSON.ARRINSERT JSON.ARRLEN JSON.ARRPOP JSON.ARRTRIM JSON.CLEAR JSON.DEL JSON.FORGET JSON.GET \
JSON.MERGE JSON.MGET JSON.MSET JSON.NUMINCRBY JSON.NUMMULTBY JSON.OBJKEYS JSON.OBJLEN JSON.RESP JSON.SET JSON.STRAPPEND JSON.STRLEN \
JSON.TOGGLE JSON.TYPE TDIGEST.ADD TDIGEST.BYRANK TDIGEST.BYREVRANK TDIGEST.CDF TDIGEST.CREATE TDIGEST.INFO TDIGEST.MAX TDIGEST.MERGE \
TDIGEST.MIN TDIGEST.QUANTILE TDIGEST.RANK TDIGEST.RESET TDIGEST.REVRANK TDIGEST.TRIMMED_MEAN TOPK.ADD TOPK.COUNT TOPK.INCRBY TOPK.INFO \
TOPK.LIST TOPK.QUERY TOPK.RESERVE TS.ADD TS.ALTER TS.CREATE TS.CREATERULE TS.DECRBY TS.DEL TS.DELETERULE TS.GET TS.INCRBY TS.INFO \
TS.MADD TS.RANGE TS.REVRANGE";

const MODULES_KEYLESS: &str = "\
FT._LIST FT.ALIASADD FT.ALIASDEL FT.ALIASUPDATE FT.CONFIG FT.CURSOR JSON.DEBUG TS.MGET TS.MRANGE TS.MREVRANGE TS.QUERYINDEX";

const SUBCOMMANDS: &[(&str, &str)] = &[
    ("ACL", "CAT DELUSER DRYRUN GENPASS GETUSER HELP LIST LOAD LOG SAVE SETUSER USERS WHOAMI"),
    (
        "CLIENT",
        "CACHING CAPA GETNAME GETREDIR HELP ID IMPORT-SOURCE INFO KILL LIST NO-EVICT NO-TOUCH PAUSE REPLY SETINFO SETNAME TRACKING \
        TRACKINGINFO UNBLOCK UNPAUSE",
    ),
    (
        "CLUSTER",
        "ADDSLOTS ADDSLOTSRANGE BUMPEPOCH CANCELSLOTMIGRATIONS COUNT-FAILURE-REPORTS COUNTKEYSINSLOT DELSLOTS DELSLOTSRANGE FAILOVER \
        FLUSHSLOT FLUSHSLOTS FORGET GETKEYSINSLOT GETSLOTMIGRATIONS HELP INFO KEYSLOT LINKS MEET MIGRATESLOTS MIGRATION MYID MYSHARDID \
        NODES REPLICAS REPLICATE RESET SAVECONFIG SET-CONFIG-EPOCH SETSLOT SHARDS SLAVES SLOT-STATS SLOTS SYNCSLOTS",
    ),
    ("COMMAND", "COUNT DOCS GETKEYS GETKEYSANDFLAGS HELP INFO LIST"),
    ("CONFIG", "GET HELP RESETSTAT REWRITE SET"),
    (
        "DEBUG",
        "ASSERT CHANGE-REPL-ID CONFIG-REWRITE-FORCE-ALL CRASH-AND-RECOVER DICT-RESIZING DIGEST DIGEST-VALUE DROP-CLUSTER-PACKET-FILTER \
        ERROR HELP HTSTATS HTSTATS-KEY JMAP LEAK LISTPACK LOADAOF LOG MALLCTL MALLCTL-STR OBJECT OOM PANIC POPULATE PROTOCOL \
        QUICKLIST QUICKLIST-PACKED-THRESHOLD RELOAD REPLICATE RESTART SDSLEN SEGFAULT SET-ACTIVE-EXPIRE \
        SET-DISABLE-DENY-SCRIPTS SLEEP STREAM-NODE-MAX-ENTRIES STRINGMATCH-LEN STRUCTSIZE ZIPLIST",
    ),
    ("FUNCTION", "DELETE DUMP FLUSH HELP KILL LIST LOAD RESTORE STATS"),
    ("LATENCY", "DOCTOR GRAPH HELP HISTOGRAM HISTORY LATEST RESET"),
    ("MEMORY", "DOCTOR HELP MALLOC-STATS PURGE STATS USAGE"),
    ("MODULE", "HELP LIST LOAD LOADEX UNLOAD"),
    ("OBJECT", "ENCODING FREQ HELP IDLETIME REFCOUNT"),
    ("PUBSUB", "CHANNELS HELP NUMPAT NUMSUB SHARDCHANNELS SHARDNUMSUB"),
    ("REPLCONF", "ACK CAPA GETACK IP-ADDRESS LISTENING-PORT RDB-CHANNEL RDB-FILTER-ONLY RDB-ONLY VERSION"),
    ("SCRIPT", "DEBUG EXISTS FLUSH HELP KILL LOAD SHOW"),
    (
        "SENTINEL",
        "CKQUORUM CONFIG DEBUG FAILOVER FLUSHCONFIG GET-MASTER-ADDR-BY-NAME GET-PRIMARY-ADDR-BY-NAME HELP INFO-CACHE \
        IS-MASTER-DOWN-BY-ADDR IS-PRIMARY-DOWN-BY-ADDR MASTER MASTERS MONITOR MYID PENDING-SCRIPTS PRIMARIES PRIMARY REMOVE REPLICAS \
        RESET SENTINELS SET SIMULATE-FAILURE SLAVES",
    ),
    ("SLOWLOG", "GET HELP LEN RESET"),
    ("XGROUP", "CREATE CREATECONSUMER DELCONSUMER DESTROY HELP SETID"),
    ("XINFO", "CONSUMERS GROUPS HELP STREAM"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_once() {
        let all: Vec<_> = TABLE.iter().flatten().map(|command| command.name).collect();
        assert!(all.len() > 240, "{}", all.len());
        for name in &all {
            assert_eq!(lookup(name.to_lowercase().as_bytes()).map(|c| c.name), Some(*name));
            assert_eq!(all.iter().filter(|other| other == &name).count(), 1, "{name} is listed twice");
            assert!(plausible(name.as_bytes()));
        }
        assert_eq!(lookup(b"GETS"), None);
        assert_eq!(lookup(b""), None);
        assert_eq!(lookup(&[b'x'; 500]), None);
    }

    #[test]
    fn every_container_has_subcommands() {
        let containers =
            TABLE.iter().flatten().filter(|c| matches!(c.act, Act::Container | Act::Client | Act::Replconf));
        for container in containers {
            assert!(SUBCOMMANDS.iter().any(|(name, _)| *name == container.name), "{}", container.name);
        }
        assert_eq!(subcommand("CONFIG", b"get"), Some("GET"));
        assert_eq!(subcommand("CONFIG", b"hunter2"), None);
        assert_eq!(subcommand("ACL", b""), None);
        for (_, words) in SUBCOMMANDS {
            assert!(words.split(' ').all(|word| !word.is_empty() && word.len() <= LONGEST), "{words}");
        }
    }

    #[test]
    fn keys_stand_where_the_server_says() {
        // As `COMMAND` of Redis 7.0 gives them.
        for (name, key) in [
            ("GET", KeyAt::Arg(1)),
            ("BITOP", KeyAt::Arg(2)),
            ("MIGRATE", KeyAt::Arg(3)),
            ("OBJECT", KeyAt::Arg(2)),
            ("EVALSHA", KeyAt::Counted(2)),
            ("BLMPOP", KeyAt::Counted(2)),
            ("ZINTERCARD", KeyAt::Counted(1)),
            ("AUTH", KeyAt::None),
            ("CONFIG", KeyAt::None),
        ] {
            assert_eq!(lookup(name.as_bytes()).unwrap().key, key, "{name}");
        }
    }

    #[test]
    fn chance_collisions_are_few() {
        let longest = TABLE.split(Option::is_none).map(<[_]>::len).max();
        assert!(longest < Some(24), "{longest:?}");
    }
}
