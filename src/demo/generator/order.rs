//! One order, and how a random one is made.
//!
//! Money is whole cents until it is printed, so every amount is exact; items x menu prices give
//! gross, tax is charged on gross less discount and rounded half up.

use super::line::{Line, MinuteText, Word};
use super::merchants::{Merchants, Mix};
use super::random::{Random, scale};

/// Microseconds of a minute.
pub(crate) const MINUTE_MICROS: i64 = 60_000_000;

const CHANNELS: Words = Words::new([
    ("app", 118),
    ("web", 62),
    ("pos", 41),
    ("phone", 22),
    ("kiosk", 13),
]);
const STATUSES: Words = Words::new([
    ("delivered", 222),
    ("paid", 13),
    ("placed", 8),
    ("cancelled", 8),
    ("refunded", 5),
]);
const PAYMENTS: Words = Words::new([
    ("card", 150),
    ("wallet", 56),
    ("cash", 34),
    ("voucher", 10),
    ("invoice", 6),
]);

/// Items of an order by a random byte: 1 to 12, 2.6 on average.
const ITEMS: [u8; 256] = spread([0, 87, 72, 44, 26, 12, 7, 3, 2, 1, 1, 0, 1]);

/// The common menu in cents, before a merchant's own price level.
const MENU: [u64; 32] = [
    895, 950, 995, 1050, 1095, 1150, 1195, 1250, 1290, 1350, 1395, 1450, 1490, 1550, 1650, 1795,
    1890, 1990, 795, 850, 190, 220, 250, 290, 320, 350, 395, 450, 495, 550, 595, 650,
];

/// Of 65,536 orders the first 7 arrive days late, and the rest of the first 662 up to hours late.
const DAYS_LATE: u16 = 7;
const HOURS_LATE: u16 = 662;

/// A row of the table `orders`.
pub(crate) struct Order {
    pub(crate) order_id: u64,
    merchant_id: u32,
    ts_micros: i64,
    customer_id: u64,
    channel: u8,
    status: u8,
    items: u8,
    gross_cents: u64,
    discount_cents: u64,
    tax_cents: u64,
    payment: u8,
    postcode: u32,
}

impl Order {
    /// The order that arrives within `slot_micros` after `from_micros`, both since 1970.
    pub(crate) fn random(
        order_id: u64,
        merchants: &Merchants,
        mix: &Mix,
        (from_micros, slot_micros): (i64, u32),
        mut random: Random,
    ) -> Self {
        let [who, which, what, menu] = std::array::from_fn(|_| random.bits());
        let (market, merchant_id) = merchants.draw(mix, who as u32, which);
        let profile = merchants.profile(market, merchant_id);

        let items = ITEMS[what as u8 as usize];
        let gross_cents = (0..u64::from(items))
            .map(|item| MENU[(menu >> (item * 5)) as usize % MENU.len()])
            // Menus are priced in steps of five cents.
            .map(|price| (price * profile.price_percent + 250) / 500 * 5)
            .sum();
        let discount_cents = discount(gross_cents, (what >> 8) as u16);
        let net_cents = gross_cents - discount_cents;

        // Regulars order most: the square makes a merchant's first few hundred customers likely.
        let regular = u64::from((who >> 32) as u32);
        let neighbour = (((regular * regular) >> 32) * 3_000) >> 32;
        let customers = u64::from(merchants.count()) * 60;

        let arrival = from_micros + i64::from(scale((which ^ (what >> 16)) as u32, slot_micros));
        let late = lateness_micros((what >> 24) as u16, &mut random);
        Self {
            order_id,
            merchant_id,
            ts_micros: arrival - late,
            customer_id: 1 + (u64::from(merchant_id) * 7_919 + neighbour) % customers,
            channel: (what >> 40) as u8,
            status: (what >> 48) as u8,
            items,
            gross_cents,
            discount_cents,
            tax_cents: (net_cents * market.tax_basis_points + 5_000) / 10_000,
            payment: (what >> 56) as u8,
            postcode: profile.postcode + (menu >> 60) as u32 % 10,
        }
    }

    /// Writes the order as a line of CSV.
    pub(crate) fn write(&self, line: &mut Line, near: &MinuteText) {
        line.clear();
        line.integer(self.order_id);
        line.byte(b',');
        line.integer(u64::from(self.merchant_id));
        line.byte(b',');
        line.timestamp(self.ts_micros, near);
        line.byte(b',');
        line.integer(self.customer_id);
        line.byte(b',');
        line.word(CHANNELS.get(self.channel));
        line.byte(b',');
        line.word(STATUSES.get(self.status));
        line.byte(b',');
        line.integer(u64::from(self.items));
        line.byte(b',');
        line.cents(self.gross_cents);
        line.byte(b',');
        line.cents(self.discount_cents);
        line.byte(b',');
        line.cents(self.tax_cents);
        line.byte(b',');
        line.word(PAYMENTS.get(self.payment));
        line.byte(b',');
        line.digits(u64::from(self.postcode), 5);
        line.byte(b'\n');
    }
}

/// About one order in eight has one: 10, 15 or 20 % of gross, or five off.
fn discount(gross_cents: u64, bits: u16) -> u64 {
    match bits {
        0..3_000 => (gross_cents * 10 + 50) / 100,
        3_000..5_000 => (gross_cents * 15 + 50) / 100,
        5_000..6_500 => (gross_cents * 20 + 50) / 100,
        6_500..8_000 => gross_cents.min(500),
        _ => 0,
    }
}

/// How long the order was on its way: tills that were offline for minutes to six hours, now and
/// then a device that comes back after one to five days.
fn lateness_micros(bits: u16, random: &mut Random) -> i64 {
    const HOUR_MICROS: i64 = 60 * MINUTE_MICROS;
    match bits {
        0..DAYS_LATE => (24 + i64::from(random.below(96))) * HOUR_MICROS,
        DAYS_LATE..HOURS_LATE => {
            let part = i64::from(random.below(1_000));
            MINUTE_MICROS + part * part * 6 * HOUR_MICROS / 1_000_000
        }
        _ => 0,
    }
}

/// Words with their frequencies, drawn by a random byte.
struct Words {
    words: [Word; 5],
    by_byte: [u8; 256],
}

impl Words {
    /// Five words whose weights sum up to 256.
    const fn new(choices: [(&str, u16); 5]) -> Self {
        let mut words = [Word::new(""); 5];
        let mut weights = [0; 5];
        let mut at = 0;
        while at < 5 {
            words[at] = Word::new(choices[at].0);
            weights[at] = choices[at].1;
            at += 1;
        }
        Self {
            words,
            by_byte: spread(weights),
        }
    }

    fn get(&self, byte: u8) -> &Word {
        &self.words[usize::from(self.by_byte[usize::from(byte)])]
    }
}

/// A table from a random byte to an index, each as often as its weight; the sum has to be 256.
const fn spread<const N: usize>(weights: [u16; N]) -> [u8; 256] {
    let mut table = [0; 256];
    let (mut at, mut index) = (0, 0);
    while index < N {
        let mut left = weights[index];
        while left > 0 {
            table[at] = index as u8;
            at += 1;
            left -= 1;
        }
        index += 1;
    }
    assert!(at == 256);
    table
}
