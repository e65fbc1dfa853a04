//! Seeded histories of everything that goes wrong at once: receivers, the store, the process.

use std::collections::BTreeMap;

use levada_testkit::seeded::Random;

use super::*;

/// An event of a history.
#[derive(Clone, Debug)]
struct Told {
    message: String,
    level: Level,
    previous: Level,
    is_accepted: bool,
    life: usize,
}

async fn history(seed: u64) -> (usize, usize) {
    let mut random = Random::new(seed);
    let mut world = World::new().await;
    *world.documents.random.lock().unwrap() = Some(seed);
    world.documents.does.store(seed % 2 == 1, Ordering::Relaxed);
    let receiver = Receiver::new(&[]);
    world.add(&receiver);
    let mut told: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    // Where each life of the process begins among what was received.
    let mut lives = vec![0];
    for number in 0..120 {
        let id = format!("id{}", random.below(3));
        let level = Level::ALL[random.below(4) as usize];
        let previous = world.publish(&id, level, number);
        let message = format!("{id} {level} {number}");
        let life = lives.len();
        let one = Told { message, level, previous, is_accepted: false, life };
        told.entry(id).or_default().push(one);
        match random.below(10) {
            0 => receiver.set(Some(Act::Fail)),
            1 | 2 => receiver.set(None),
            3 => receiver.acts.lock().unwrap().extend([Act::Panic, Act::Fail]),
            4 => receiver.acts.lock().unwrap().push_back(Act::After(Duration::from_secs(2))),
            5 => world.pass(Duration::from_millis(100 * random.below(100))).await,
            _ => world.pause().await,
        }
        if random.below(3) == 0 {
            while !world.service.topics().flush().await {}
            let of_life = told.values_mut().flatten().filter(|told| told.life == life);
            of_life.for_each(|told| told.is_accepted = true);
        }
        if random.below(15) == 0 {
            world = world.kill().await;
            world.add(&receiver);
            lives.push(receiver.got().len());
        }
    }
    while !world.service.topics().flush().await {}
    receiver.acts.lock().unwrap().clear();
    receiver.set(None);
    world.until("all is sent", || world.stats().waiting == 0).await;
    let got = receiver.got();
    let last = lives.len();
    lives.push(got.len());
    // What nobody promised is lost, or not: what was received was.
    for events in told.values_mut() {
        events.retain(|told| told.is_accepted || told.life == last || got.contains(&told.message));
    }
    for (id, events) in &told {
        let is_received = |told: &Told| got.contains(&told.message);
        let newest = events.last().unwrap();
        assert!(is_received(newest), "seed {seed}: the newest of {id} was not sent: {newest:?}");
        for pair in events.windows(2) {
            let is_recovery = pair[1].level == Level::Ok && pair[1].previous != Level::Ok;
            if is_recovery && pair[0].level == pair[1].previous && is_received(&pair[0]) {
                assert!(is_received(&pair[1]), "seed {seed}: a recovery was not sent: {pair:?}");
            }
        }
        for life in lives.windows(2) {
            let of_id = got[life[0]..life[1]].iter().filter(|message| message.starts_with(id));
            let numbers: Vec<usize> =
                of_id.map(|message| message.rsplit(' ').next().unwrap().parse().unwrap()).collect();
            assert!(numbers.is_sorted(), "seed {seed}: {id} is out of order: {numbers:?}");
        }
    }
    (got.len(), lives.len())
}

#[tokio::test]
async fn nothing_that_was_promised_is_lost_whatever_fails() {
    let (mut received, mut lives) = (0, 0);
    for seed in 0..40 {
        let (got, lived) = history(seed).await;
        received += got;
        lives += lived;
    }
    // The histories are worth something.
    assert!(received > 500 && lives > 150, "{received} events in {lives} lives");
}
