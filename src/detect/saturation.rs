//! Values that are bounded and keep their order.

/// `value` up to `from`; beyond that it grows ever more slowly and stays below `from + room`, half of which is left `knee` beyond
/// `from`. Of two values the larger one stays the larger.
pub(super) fn saturated(value: f64, from: f64, room: f64, knee: f64) -> f64 {
    let beyond = value - from;
    if beyond <= 0.0 { value } else { from + room * beyond / (beyond + knee) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn half_of_the_room_is_left_at_the_knee() {
        assert_eq!((saturated(3.0, 8.0, 4.0, 20.0), saturated(28.0, 8.0, 4.0, 20.0)), (3.0, 10.0));
    }

    proptest! {
        #[test]
        fn order_and_bound_hold(a in 0.0..300.0f64, more in 0.01..50.0f64, room in 1.0..20.0f64, knee in 1.0..40.0f64) {
            let (low, high) = (saturated(a, 8.0, room, knee), saturated(a + more, 8.0, room, knee));
            prop_assert!(low < high && high < 8.0 + room, "{low} {high}");
        }
    }
}
