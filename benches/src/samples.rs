//! Numbers measured in rounds, and the table they are shown in.

/// What was measured of one variant, one number a round.
#[derive(Debug, Default, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Adds a round's number.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one; NaN when nothing was measured.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// The smallest one.
    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

/// Prints one row: each variant's median and minimum, and its median as a multiple of the first's.
pub(crate) fn print_row(name: &str, variants: &[Samples]) {
    print!("{name:<28}");
    let base = variants.first().map_or(f64::NAN, Samples::median);
    for (index, samples) in variants.iter().enumerate() {
        print!(" {:>10.0} [{:>8.0}]", samples.median(), samples.min());
        if index > 0 {
            print!(" {:>6.2}x", samples.median() / base);
        }
    }
    println!();
}

/// Prints the heading of such rows.
pub(crate) fn print_heading(name: &str, variants: &[&str]) {
    print!("\n{name:<28}");
    for (index, variant) in variants.iter().enumerate() {
        print!(" {variant:>21}");
        if index > 0 {
            print!(" {:>7}", "ratio");
        }
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_minimum_do_not_depend_on_the_order() {
        let mut samples = Samples::default();
        for value in [5.0, 1.0, 3.0, 100.0, 2.0] {
            samples.push(value);
        }
        assert_eq!((samples.median(), samples.min()), (3.0, 1.0));
    }
}
