//! Headers and pictures that are not taken.

use super::*;

#[test]
fn a_header_of_another_kind_is_refused() {
    let base = frame(size(320, 32), 0);
    let RungKind::Cells { grid, header } = &base.rung.kind else {
        panic!("cells")
    };
    let refused = |grid: Grid, header: Vec<u8>| {
        let kind = RungKind::Cells {
            grid,
            header: header.into(),
        };
        let rung = Arc::new(Rung {
            id: 1,
            kind,
            source: None,
        });
        JpegLibrary::ALL.map(|library| Canvas::with_library(Arc::clone(&rung), library).is_err())
            == [true; 2]
    };
    let other_size = Grid::for_size(size(320, 48));
    let other_cut = Grid::new(grid.size(), 5).unwrap();
    assert!(refused(other_size, header.to_vec()));
    assert!(refused(other_cut, header.to_vec()));
    assert!(refused(*grid, [&header[..], &[0]].concat()));
    assert!(refused(*grid, Vec::new()));
    let at = header.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    // Progressive; 4:2:2; components that zune would take for red, green and blue.
    for (offset, value) in [(1, 0xC2), (11, 0x21), (10, b'R')] {
        let mut changed = header.to_vec();
        changed[at + offset] = value;
        assert!(refused(*grid, changed));
    }
    // A restart interval of four bytes, of which the last two would do; a table that nobody names and that is none.
    let scan = header.windows(2).position(|w| w == [0xFF, 0xDA]).unwrap();
    let with = |segment: &[u8]| [&header[..scan], segment, &header[scan..]].concat();
    let [high, low] = grid.restart().to_be_bytes();
    assert!(!refused(*grid, with(&[0xFF, 0xDD, 0, 4, high, low])));
    assert!(refused(*grid, with(&[0xFF, 0xDD, 0, 6, high, low, 0, 0])));
    let table = |first: u8| [&[0xFF, 0xC4, 0, 20, 0x12, first][..], &[0; 15], &[1]].concat();
    assert!(!refused(*grid, with(&table(1))));
    let ones = [&[0xFF, 0xC4, 0, 21, 0x12, 2][..], &[0; 15], &[1, 2]].concat();
    assert!(refused(*grid, with(&ones)));
    let adobe = b"\xFF\xEE\x00\x0EAdobe\0\0\0\0\0\0\x02";
    assert!(refused(*grid, [&header[..2], adobe, &header[2..]].concat()));
}

#[test]
fn a_whole_picture_that_does_not_fit_is_bad() {
    let jpeg = join(&frame(size(320, 64), 0));
    let rung = |size| {
        let kind = RungKind::Whole { size };
        Canvas::new(Arc::new(Rung {
            id: 1,
            kind,
            source: None,
        }))
        .unwrap()
    };
    let mut canvas = rung(size(320, 64));
    assert_eq!(canvas.apply(&[(0, jpeg.slice(..jpeg.len() / 2))]).bad, 1);
    assert_eq!(canvas.apply(&[(1, jpeg.clone())]).bad, 1);
    assert!(canvas.pixels().iter().all(|pixel| *pixel == 0));
    assert!(canvas.join().is_none());
    assert_eq!(rung(size(64, 320)).apply(&[(0, jpeg.clone())]).bad, 1);
    assert_eq!(canvas.apply(&[(0, jpeg.clone())]).bad, 0);
    assert_eq!(canvas.join(), Some(jpeg));
}
