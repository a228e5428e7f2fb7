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

/// Whether this may be the name of a command that is not in the table: a newer one, or a module's, such as `JSON.GET`.
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
