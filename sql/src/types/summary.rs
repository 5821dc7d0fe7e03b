//! [`SummaryKind`]: the types of values that summarise many rows, such as sketches.
//!
//! Names are those of TimescaleDB's toolkit, in lower case as SQL writes them. The toolkit's types
//! have the oids that `CREATE EXTENSION` happens to give; here they are fixed, in the range that
//! PostgreSQL leaves to others. What the bytes of a value mean stands in `sql/src/functions/toolkit`.

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $code:literal $name:literal;)*) => {
        /// What a summary tells.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum SummaryKind {
            $($(#[$doc])* $kind = $code,)*
        }

        impl SummaryKind {
            /// All of them.
            pub const ALL: &'static [SummaryKind] = &[$(SummaryKind::$kind),*];

            /// The name of the type.
            pub fn name(self) -> &'static str {
                match self {
                    $(SummaryKind::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// Sums of powers of one variable.
    Stats1 = 1 "statssummary1d";
    /// Sums of powers and products of two variables.
    Stats2 = 2 "statssummary2d";
    /// Counts of values by logarithmic buckets.
    UddSketch = 3 "uddsketch";
    /// Centroids of values.
    TDigest = 4 "tdigest";
    /// Registers of hashes.
    HyperLogLog = 5 "hyperloglog";
    /// Open, high, low, close.
    Candlestick = 6 "candlestick";
    /// Points of a counter that may be reset.
    Counter = 7 "countersummary";
    /// Points of a gauge.
    Gauge = 8 "gaugesummary";
    /// Points that hold until the next.
    TimeWeight = 9 "timeweightsummary";
    /// Counts of frequent values of any type.
    Frequent = 10 "spacesavingaggregate";
    /// Counts of frequent integers.
    FrequentInts = 11 "spacesavingbigintaggregate";
    /// Counts of frequent texts.
    FrequentTexts = 12 "spacesavingtextaggregate";
    /// The least integers.
    MinInts = 13 "minints";
    /// The least floats.
    MinFloats = 14 "minfloats";
    /// The earliest times.
    MinTimes = 15 "mintimes";
    /// The greatest integers.
    MaxInts = 16 "maxints";
    /// The greatest floats.
    MaxFloats = 17 "maxfloats";
    /// The latest times.
    MaxTimes = 18 "maxtimes";
    /// The least integers with what belongs to them.
    MinByInts = 19 "minbyints";
    /// The least floats with what belongs to them.
    MinByFloats = 20 "minbyfloats";
    /// The earliest times with what belongs to them.
    MinByTimes = 21 "minbytimes";
    /// The greatest integers with what belongs to them.
    MaxByInts = 22 "maxbyints";
    /// The greatest floats with what belongs to them.
    MaxByFloats = 23 "maxbyfloats";
    /// The latest times with what belongs to them.
    MaxByTimes = 24 "maxbytimes";
    /// Points of a line.
    TimeVector = 25 "timevector_tstz_f64";
}

/// The oid of kind 0, which does not exist.
const OID: u32 = 9400;

impl SummaryKind {
    /// The oid in `pg_type`.
    pub fn oid(self) -> u32 {
        OID + u32::from(self as u8)
    }

    /// The type of an oid.
    pub fn from_oid(oid: u32) -> Option<SummaryKind> {
        SummaryKind::of_code(u8::try_from(oid.checked_sub(OID)?).ok()?)
    }

    /// The type of this name.
    pub fn from_name(name: &str) -> Option<SummaryKind> {
        let mut all = SummaryKind::ALL.iter().copied();
        all.find(|kind| kind.name() == name)
    }

    /// The kind with which encoded values begin.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind of a code.
    pub fn of_code(code: u8) -> Option<SummaryKind> {
        let mut all = SummaryKind::ALL.iter().copied();
        all.find(|kind| kind.code() == code)
    }
}
