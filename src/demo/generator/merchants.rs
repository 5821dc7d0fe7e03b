//! The merchants: who they are, how busy, and how to draw one in constant time.
//!
//! Merchant number r by size gets 1/r^s of the orders (Zipf), whatever its id: ids are shuffled, so
//! that big merchants are spread over the key range as they are in reality. The skew s is 1, or 0 for
//! merchants that are all alike.
//! Within a market a merchant is drawn with Vose's alias method (1991): one table access a row.

use std::num::NonZeroU32;

use chrono::{Days, NaiveDate};

use super::market::{MARKETS, Market, demand};
use super::random::{Random, mix, scale};

/// The exponent of sizes as they are on a platform.
pub(crate) const SKEW: f64 = 1.0;

/// All merchants of a platform, numbered from 1.
pub(crate) struct Merchants {
    seed: u64,
    count: u32,
    markets: Vec<Choice>,
}

/// The merchants of one market.
struct Choice {
    /// Their part of the platform's orders, in millionths; at least 1 unless the market is empty.
    share: u64,
    slots: Vec<Slot>,
}

/// Every slot is drawn equally often; `own` keeps the `threshold / 2^32` of it, `other` the rest.
#[derive(Clone, Copy)]
struct Slot {
    threshold: u32,
    own: u32,
    other: u32,
}

/// What is fixed about a merchant; derived from its id, so that nothing has to be looked up.
pub(crate) struct Profile {
    hash: u64,
    /// The first of its ten postcodes.
    pub(crate) postcode: u32,
    /// Prices as a percentage of the common menu.
    pub(crate) price_percent: u64,
    city: &'static str,
}

/// How a minute's orders divide among the markets.
pub(crate) struct Mix([u32; MARKETS.len()]);

impl Merchants {
    /// `count` merchants of the platform `seed`, with the exponent of their sizes.
    pub(crate) fn new(seed: u64, count: NonZeroU32, skew: f64) -> Self {
        let count = count.get();
        let mut members: Vec<Vec<(u32, f64)>> = vec![Vec::new(); MARKETS.len()];
        for (rank, &id) in shuffled(seed, count).iter().enumerate() {
            let weight = (rank as f64 + 1.0).powf(-skew);
            members[market_of(seed, id)].push((id, weight));
        }
        let orders: f64 = members.iter().flatten().map(|member| member.1).sum();
        let markets = members
            .into_iter()
            .map(|members| {
                let weight: f64 = members.iter().map(|member| member.1).sum();
                let least = u64::from(!members.is_empty());
                let share = ((weight / orders * 1e6) as u64).max(least);
                Choice {
                    share,
                    slots: alias_table(&members),
                }
            })
            .collect();
        Self {
            seed,
            count,
            markets,
        }
    }

    /// The seed of the platform.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// How many there are; their ids are 1 to this.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// What all markets order in a minute whose local clocks are `offsets` ahead of UTC.
    pub(crate) fn demand(&self, minute: i64, offsets: &[i64; MARKETS.len()]) -> u64 {
        let weights = self.markets.iter().zip(offsets);
        weights
            .map(|(choice, offset)| choice.share * demand(minute + offset))
            .sum()
    }

    /// How the orders of `minute` divide among the markets.
    pub(crate) fn mix_at(&self, minute: i64) -> Mix {
        let offsets = utc_offsets(minute);
        let total = self.demand(minute, &offsets).max(1);
        let mut below = 0;
        let mut limits = [u32::MAX; MARKETS.len()];
        for (limit, (choice, offset)) in limits.iter_mut().zip(self.markets.iter().zip(&offsets)) {
            below += choice.share * demand(minute + offset);
            *limit =
                ((u128::from(below) << 32) / u128::from(total)).min(u128::from(u32::MAX)) as u32;
        }
        Mix(limits)
    }

    /// The market that `bits` fall on, and the merchant there that `choice` falls on.
    pub(crate) fn draw(&self, mix: &Mix, bits: u32, choice: u64) -> (&'static Market, u32) {
        let mut market = mix.0.iter().filter(|limit| bits >= **limit).count();
        // The last limits can all be 2^32 - 1; step back over empty markets.
        market = market.min(MARKETS.len() - 1);
        while self.markets[market].slots.is_empty() {
            market = if market == 0 {
                MARKETS.len() - 1
            } else {
                market - 1
            };
        }
        let slots = &self.markets[market].slots;
        let slot = slots[scale((choice >> 32) as u32, slots.len() as u32) as usize];
        let id = if (choice as u32) < slot.threshold {
            slot.own
        } else {
            slot.other
        };
        (&MARKETS[market], id)
    }

    /// What is fixed about merchant `id` of `market`.
    pub(crate) fn profile(&self, market: &Market, id: u32) -> Profile {
        let hash = mix(self.seed ^ 0x6d65_7263_6861_6e74 ^ u64::from(id));
        let (city, first_postcode) = market.cities[(hash % market.cities.len() as u64) as usize];
        Profile {
            hash,
            postcode: first_postcode + (hash >> 8) as u32 % 80,
            price_percent: 80 + (hash >> 40) % 60,
            city,
        }
    }

    /// Appends the rows of the reference table `merchants` as CSV.
    pub(crate) fn write_csv(&self, out: &mut Vec<u8>) {
        const OWNERS: [&str; 16] = [
            "Luigi", "Mario", "Sofia", "Giulia", "Carlo", "Anna", "Rosa", "Enzo", "Paolo", "Elena",
            "Bruno", "Chiara", "Marta", "Dario", "Lucia", "Nino",
        ];
        const KINDS: [(&str, &str); 8] = [
            ("Pizzeria", "pizzeria"),
            ("Pizza Express", "delivery"),
            ("Trattoria", "restaurant"),
            ("Slice Bar", "pizzeria"),
            ("Stone Oven", "pizzeria"),
            ("Osteria", "restaurant"),
            ("Pizza, Pasta & More", "delivery"),
            ("Food Truck", "food truck"),
        ];
        for id in 1..=self.count {
            let market = &MARKETS[market_of(self.seed, id)];
            let Profile { hash, city, .. } = self.profile(market, id);
            let owner = OWNERS[(hash >> 16) as usize % OWNERS.len()];
            let (kind, category) = KINDS[(hash >> 24) as usize % KINDS.len()];
            let opened = NaiveDate::from_ymd_opt(2006, 1, 1)
                .and_then(|first| first.checked_add_days(Days::new((hash >> 32) % 7_000)))
                .unwrap_or_default();
            let (country, zone) = (market.country, market.time_zone.name());
            out.extend_from_slice(
                format!(
                    "{id},\"{owner}'s {kind} {id}\",{city},{country},{category},{zone},{opened}\n"
                )
                .as_bytes(),
            );
        }
    }
}

/// Minutes that each market's clock is ahead of UTC at `minute`.
pub(crate) fn utc_offsets(minute: i64) -> [i64; MARKETS.len()] {
    std::array::from_fn(|market| MARKETS[market].utc_offset_minutes(minute))
}

fn market_of(seed: u64, id: u32) -> usize {
    let mut percent = scale(mix(seed ^ (u64::from(id) << 32)) as u32, 100);
    for (number, market) in MARKETS.iter().enumerate() {
        if percent < market.merchants_percent {
            return number;
        }
        percent -= market.merchants_percent;
    }
    MARKETS.len() - 1
}

/// The ids by size, the biggest merchant first.
fn shuffled(seed: u64, count: u32) -> Vec<u32> {
    let mut ids: Vec<u32> = (1..=count).collect();
    let mut random = Random::new(seed, u64::MAX);
    for last in (1..ids.len()).rev() {
        ids.swap(last, random.below(last as u32 + 1) as usize);
    }
    ids
}

fn alias_table(members: &[(u32, f64)]) -> Vec<Slot> {
    let mean = members.iter().map(|member| member.1).sum::<f64>() / members.len().max(1) as f64;
    let mut slots: Vec<Slot> = members
        .iter()
        .map(|&(id, _)| Slot {
            threshold: u32::MAX,
            own: id,
            other: id,
        })
        .collect();
    let mut weights: Vec<f64> = members.iter().map(|member| member.1 / mean).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..weights.len()).partition(|&at| weights[at] < 1.0);
    while let (Some(poor), Some(&rich)) = (small.pop(), large.last()) {
        slots[poor].threshold = (weights[poor] * 4_294_967_296.0) as u32;
        slots[poor].other = slots[rich].own;
        weights[rich] -= 1.0 - weights[poor];
        if weights[rich] < 1.0 {
            large.pop();
            small.push(rich);
        }
    }
    slots
}
