//! Commands with any options: lines of words, each a request. Whatever is accepted has the effects that it
//! states.

use pbj_store::resp::request::split_words;

use super::memory::within;
use super::world::World;
use super::{NUMBERS, Target, with_numbers};

/// Most requests of an input.
const REQUESTS_MAX: usize = 32;
/// Strings are of at most 1 MiB (`world.rs`); there are two engines in a build that checks effects.
const BYTES_MAX: usize = 256 << 20;
/// Commands whose arguments are programs: another target has them.
const PROGRAMS: [&[u8]; 3] = [b"eval", b"fcall", b"function"];

const WORDS: [&str; 66] = [
    "k",
    "l",
    "s",
    "h",
    "z",
    "x",
    "EX",
    "PX",
    "EXAT",
    "PXAT",
    "NX",
    "XX",
    "GT",
    "LT",
    "CH",
    "INCR",
    "GET",
    "KEEPTTL",
    "PERSIST",
    "LIMIT",
    "COUNT",
    "BYSCORE",
    "BYLEX",
    "REV",
    "WITHSCORES",
    "WITHVALUES",
    "WEIGHTS",
    "AGGREGATE",
    "STORE",
    "MATCH",
    "TYPE",
    "MAXLEN",
    "MINID",
    "~",
    "=",
    "*",
    ">",
    "$",
    "-",
    "+",
    "[a",
    "(1",
    "FIELDS",
    "BLOCK",
    "STREAMS",
    "GROUP",
    "REPLACE",
    "ABSTTL",
    "ALPHA",
    "DESC",
    "BY",
    "RANK",
    "OVERFLOW",
    "u63",
    "#1",
    "i64",
    "ASYNC",
    "MULTI\n",
    "EXEC\n",
    "LEFT",
    "RIGHT",
    "BEFORE",
    "\"\"",
    "\"\\x00\\xff\"",
    "km",
    "BYRADIUS",
];

pub(super) const TARGET: Target = Target {
    name: "session",
    run,
    seeds,
    words: &with_numbers::<{ WORDS.len() }, { WORDS.len() + NUMBERS.len() }>(WORDS),
};

fn seeds() -> Vec<Vec<u8>> {
    [
        "SET k v EX 10 NX GET\nGETEX k PX 5\nSETRANGE k 3 x\nGETRANGE k 0 -1\nINCRBYFLOAT n 1.5\nDECRBY n 2\nAPPEND k y",
        "SETBIT k 100 1\nBITFIELD k SET u8 #1 200 OVERFLOW SAT INCRBY i5 3 7 GET u63 0\nBITPOS k 1 0 -1 BIT\nBITCOUNT k 0 5 BYTE\nBITOP NOT d k",
        "MSET a ohmytext b mynewtext\nLCS a b IDX MINMATCHLEN 2 WITHMATCHLEN\nLCS a b LEN",
        "RPUSH l a b c 1 2 3\nLPOS l a RANK -1 COUNT 0 MAXLEN 3\nLINSERT l BEFORE b x\nLRANGE l 0 -1\nLMPOP 2 m l LEFT COUNT 2\nLTRIM l 1 2\nLREM l -1 a",
        "SADD s a b c 1 2\nSINTERCARD 2 s s LIMIT 1\nSRANDMEMBER s -5\nSSCAN s 0 MATCH a* COUNT 5\nSMOVE s t a\nSUNIONSTORE u s t\nSPOP s 2",
        "HSET h f 1 g x\nHINCRBY h f 5\nHRANDFIELD h -3 WITHVALUES\nHSCAN h 0 COUNT 10\nHEXPIRE h 100 NX FIELDS 1 f\nHPEXPIREAT h 1 GT FIELDS 2 f g\nHGETEX h EX 5 FIELDS 1 g\nHSETEX h FNX EX 7 FIELDS 1 q r\nHGETDEL h FIELDS 1 f",
        "ZADD z GT CH 1 a 2.5 b (3 c\nZADD z 1 a 2 b 3 c\nZRANGE z (1 +inf BYSCORE LIMIT 0 5 WITHSCORES\nZRANGESTORE y z [a [c BYLEX REV\nZINCRBY z 1e308 a\nZUNION 2 z y WEIGHTS 2 -1 AGGREGATE MAX WITHSCORES\nZRANDMEMBER z -4 WITHSCORES\nZMPOP 1 z MIN COUNT 2\nZINTERSTORE w 1 z\nZREMRANGEBYRANK z 0 -2",
        "GEOADD g NX CH 13.361389 38.115556 Palermo 15.087269 37.502669 Catania\nGEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC COUNT 3 ANY WITHCOORD WITHDIST\nGEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 200 km STOREDIST\nGEODIST g Palermo Catania mi\nGEOHASH g Palermo",
        "XADD x NOMKSTREAM MAXLEN ~ 10 LIMIT 5 * f v\nXADD x 1-1 f v g w\nXADD x 1-* f v\nXGROUP CREATE x g $ MKSTREAM ENTRIESREAD 3\nXREADGROUP GROUP g alice COUNT 2 NOACK STREAMS x >\nXPENDING x g IDLE 0 - + 10 alice\nXCLAIM x g bob 0 1-1 IDLE 5 RETRYCOUNT 3 FORCE JUSTID LASTID 1-1\nXAUTOCLAIM x g bob 0 0 COUNT 5\nXSETID x 9-9 ENTRIESADDED 20 MAXDELETEDID 3-3\nXTRIM x MINID = 1-2\nXINFO STREAM x FULL COUNT 2\nXACK x g 1-1\nXDEL x 1-1",
        "PFADD p a b c\nPFMERGE q p\nPFCOUNT p q\nPFDEBUG DECODE p\nPFADD p d",
        "EXPIRE k 100 GT\nPEXPIREAT k 1798761600500 XX\nCOPY k j DB 1 REPLACE\nSORT l BY w_* LIMIT 0 2 GET # GET o_*->f DESC ALPHA STORE r\nSCAN 0 MATCH * COUNT 100 TYPE hash\nOBJECT FREQ k\nOBJECT ENCODING k\nRENAMENX k j\nMOVE j 3\nSWAPDB 0 3\nTOUCH a b\nRANDOMKEY\nEXPIRETIME k",
        "MULTI\nSET k 1\nINCR k\nLPUSH k x\nEXEC\nWATCH k\nMULTI\nDISCARD\nBLPOP l 0.01\nBLMPOP 0 1 l LEFT\nBZPOPMIN z 0",
        "ACL SETUSER u on >p ~a* %R~b* &c +@read -get (+set ~x)\nACL GETUSER u\nACL DRYRUN u GET abc\nACL LIST\nACL CAT read\nACL DELUSER u\nACL LOG",
        "CLIENT TRACKING ON BCAST PREFIX a PREFIX b NOLOOP\nCLIENT KILL ID 99 SKIPME no\nCLIENT LIST TYPE normal ID 1 2\nCLIENT SETNAME n\nCLIENT PAUSE 1 WRITE\nCLIENT NO-EVICT on\nCLIENT REPLY SKIP\nCLIENT INFO\nCLIENT UNBLOCK 1 ERROR\nCLIENT CACHING YES",
        "CONFIG SET maxmemory 1mb maxmemory-policy allkeys-lru\nCONFIG GET *max* save\nCONFIG SET save \"3600 1\"\nCONFIG RESETSTAT\nSLOWLOG GET 5\nLATENCY HISTOGRAM get\nMEMORY USAGE k SAMPLES 0\nINFO everything\nCOMMAND DOCS get\nCOMMAND LIST FILTERBY ACLCAT read\nCOMMAND GETKEYS SET k v\nCOMMAND GETKEYSANDFLAGS ZUNION 2 a b",
        "HELLO 3 SETNAME me\nSUBSCRIBE c\nPSUBSCRIBE p*\nPUBLISH c m\nPUBSUB NUMSUB c\nSSUBSCRIBE s\nUNSUBSCRIBE\nPING x\nECHO y\nRESET\nSELECT 5\nAUTH a b\nQUIT",
        "RESTORE k 0 \"\\x00\\x01a\\x0b\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\"\nDUMP k\nWAIT 0 0\nFLUSHDB ASYNC\nDBSIZE\nLOLWUT VERSION 5\nROLE\nTIME\nLASTSAVE\nSCRIPT EXISTS a\nREPLICAOF NO ONE\nOBJECT HELP",
        "SET k v IFEQ x\nDELIFEQ k v\nLMOVE l l LEFT RIGHT\nRPOPLPUSH l m\nGETDEL k\nSMISMEMBER s a b\nZMSCORE z a b\nZDIFF 1 z\nSETEX k 10 v\nSUBSTR k 0 1\nGEORADIUS g 15 37 200 km WITHHASH STORE d",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

fn run(input: &[u8]) {
    within(BYTES_MAX, || {
        let mut world = World::new();
        for line in input.split(|&byte| byte == b'\n').take(REQUESTS_MAX) {
            let Ok(words) = split_words(line) else { continue };
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let Some(name) = words.first() else { continue };
            if !PROGRAMS.iter().any(|program| name.to_ascii_lowercase().starts_with(program)) {
                world.call(&words);
            }
        }
        world.tick();
        assert_eq!(World::new().call(&[b"PING"]), b"+PONG\r\n");
    });
}
