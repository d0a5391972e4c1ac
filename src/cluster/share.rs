//! The number of streams of each worker.

/// Fair shares of `streams` streams for workers that take at most `capacities[i]` each: as equal as the capacities allow.
/// What does not divide goes to the first workers. Where the capacities together are too small, all are full.
#[must_use]
pub fn shares(streams: usize, capacities: &[usize]) -> Vec<usize> {
    let mut given = vec![0; capacities.len()];
    let mut left = streams;
    loop {
        let open: Vec<usize> = (0..capacities.len())
            .filter(|&i| given.get(i).zip(capacities.get(i)).is_some_and(|(have, most)| have < most))
            .collect();
        if open.is_empty() || left == 0 {
            return given;
        }
        // all that are open have the same, so that what does not divide is given once, at the end
        let each = left / open.len();
        let first = if each == 0 { left } else { open.len() };
        for &i in open.iter().take(first) {
            if let (Some(have), Some(most)) = (given.get_mut(i), capacities.get(i)) {
                let more = each.max(1).min(most - *have);
                *have += more;
                left -= more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_equal_up_to_capacities() {
        assert_eq!(shares(6, &[64, 64, 64]), [2, 2, 2]);
        assert_eq!(shares(7, &[64, 64, 64]), [3, 2, 2]);
        assert_eq!(shares(10, &[1, 64, 64]), [1, 5, 4]);
        assert_eq!(shares(10, &[2, 3]), [2, 3]);
        assert_eq!(shares(3, &[]), Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn all_that_can_be_given_is_given(streams in 0usize..500, capacities in proptest::collection::vec(1usize..80, 0..9)) {
            let given = shares(streams, &capacities);
            let room: usize = capacities.iter().sum();
            prop_assert_eq!(given.iter().sum::<usize>(), streams.min(room));
            // a worker with fewer streams than another, by more than one, is full
            for (a, most) in given.iter().zip(&capacities) {
                prop_assert!(a <= most);
                prop_assert!(a == most || given.iter().all(|b| *b <= a + 1));
            }
        }
    }
}
