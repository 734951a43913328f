//! `esplanade capture`: packets as they are at one point of the data plane, in a pcapng file.

use super::watch::{Next, Watch};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use pcap_file::pcapng::{PcapNgBlock, PcapNgWriter};
use shm::inspect::{self as contract, Packet, Question, Record};
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The largest frame that the data plane keeps whole.
const WHOLE: u16 = u16::MAX;
/// Time stamps in units of 10^-9 s (if_tsresol).
const NANOSECONDS: u8 = 9;
/// epb_flags, bits 0 and 1: which way the packet went.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Where to look
    #[arg(long, value_enum)]
    point: Point,
    /// The file; an existing one is replaced
    #[arg(short = 'w', long = "write", value_name = "FILE.pcapng")]
    file: PathBuf,
    /// Bytes of each packet to keep; the whole packet, if not given
    #[arg(long, value_name = "BYTES", default_value_t = WHOLE, hide_default_value = true,
          value_parser = clap::value_parser!(u16).range(1..))]
    snaplen: u16,
    #[command(flatten)]
    watch: Watch,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Point {
    /// Ethernet frames of outside interfaces, received and sent
    Outside,
    /// Ethernet frames of inside interfaces, received and sent
    Inside,
    /// IP packets in clear: before encryption and after decryption
    PreCrypto,
    /// ESP packets: after encryption and before decryption
    PostCrypto,
}

pub(super) fn run(options: &Options) -> Result<ExitCode> {
    let point = match options.point {
        Point::Outside => contract::Point::Outside,
        Point::Inside => contract::Point::Inside,
        Point::PreCrypto => contract::Point::PreCrypto,
        Point::PostCrypto => contract::Point::PostCrypto,
    };
    let capture = contract::Capture { point, snap_len: options.snaplen, filter: options.watch.filter() };
    let mut stream = options.watch.stream(&Question::Capture(capture))?;
    // What is in the file may be plaintext: it is for its owner only.
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&options.file);
    let file = file.with_context(|| format!("cannot write {}", options.file.display()))?;
    let link = match options.point {
        Point::Outside | Point::Inside => DataLink::ETHERNET,
        Point::PreCrypto | Point::PostCrypto => DataLink::RAW,
    };
    let mut file = File::begin(BufWriter::new(file), link, options.snaplen)?;
    eprintln!("capturing to {}; Ctrl-C ends it", options.file.display());
    loop {
        match stream.next()? {
            Next::Record(Record::Packet(packet)) => file.write(&packet)?,
            Next::Record(_) => bail!("the data plane gave a record of another release"),
            Next::Quiet => file.flush()?,
            Next::End => break,
        }
    }
    file.flush()?;
    eprintln!("{} packets written", file.packets);
    stream.report_losses();
    Ok(ExitCode::SUCCESS)
}

/// A pcapng file of one section, whose interfaces are described when their first packet comes.
struct File<W: Write> {
    writer: PcapNgWriter<W>,
    link: DataLink,
    snap_len: u16,
    /// By the number that packets name them by.
    interfaces: Vec<String>,
    packets: u64,
}

impl<W: Write> File<W> {
    fn begin(writer: W, link: DataLink, snap_len: u16) -> Result<Self> {
        let application = format!("esplanade {}", env!("CARGO_PKG_VERSION"));
        let options = vec![SectionHeaderOption::UserApplication(application.into())];
        let section = SectionHeaderBlock { options, ..SectionHeaderBlock::default() };
        let writer = PcapNgWriter::with_section_header(writer, section)?;
        Ok(Self { writer, link, snap_len, interfaces: Vec::new(), packets: 0 })
    }

    fn write(&mut self, packet: &Packet) -> Result<()> {
        let interface_id = self.interface(&packet.interface)?;
        let flags = if packet.inbound { INBOUND } else { OUTBOUND };
        let mut options: Vec<_> =
            comments(packet).into_iter().map(|text| EnhancedPacketOption::Comment(text.into())).collect();
        options.push(EnhancedPacketOption::Flags(flags));
        let block = EnhancedPacketBlock {
            interface_id,
            timestamp: Duration::from_nanos(packet.at),
            original_len: packet.len,
            data: packet.bytes.as_slice().into(),
            options,
        };
        self.writer.write_block(&block.into_block())?;
        self.packets += 1;
        Ok(())
    }

    /// The number of an interface, described first if it is new.
    fn interface(&mut self, name: &str) -> Result<u32> {
        let name = if name.is_empty() { "self" } else { name };
        let known = self.interfaces.iter().position(|known| known == name);
        if known.is_none() {
            let block = InterfaceDescriptionBlock {
                linktype: self.link,
                // 0: no limit.
                snaplen: if self.snap_len == WHOLE { 0 } else { self.snap_len.into() },
                options: vec![
                    InterfaceDescriptionOption::IfName(name.into()),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            };
            self.writer.write_block(&block.into_block())?;
            self.interfaces.push(name.to_owned());
        }
        Ok(u32::try_from(known.unwrap_or(self.interfaces.len() - 1))?)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(self.writer.get_mut().flush()?)
    }
}

/// `spi 0xc4a91b02` for each ESP packet that it came in or left in, and `dropped: replay_old`.
fn comments(packet: &Packet) -> Vec<String> {
    let spis = packet.spis.iter().map(|spi| format!("spi {spi:#010x}"));
    spis.chain(packet.drop_reason.iter().map(|reason| format!("dropped: {reason}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcapng::{Block, PcapNgReader};

    fn packet(interface: &str, inbound: bool, drop_reason: Option<&str>) -> Packet {
        Packet {
            id: 1,
            at: 1_700_000_000_123_456_789,
            inbound,
            interface: interface.to_owned(),
            len: 100,
            bytes: vec![0x45; 33],
            spis: vec![0x1000, 0xc4a9_1b02],
            drop_reason: drop_reason.map(str::to_owned),
        }
    }

    #[test]
    fn interfaces_come_before_their_packets_and_comments_say_the_rest() {
        let mut file = File::begin(Vec::new(), DataLink::RAW, 33).unwrap();
        for (interface, inbound, reason) in
            [("wan", true, Some("replay_old")), ("", false, None), ("wan", false, None)]
        {
            file.write(&packet(interface, inbound, reason)).unwrap();
        }
        assert_eq!(file.packets, 3);
        let bytes = file.writer.into_inner();
        let mut reader = PcapNgReader::new(&bytes[..]).unwrap();
        let (mut names, mut seen) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::InterfaceDescription(idb) => {
                    assert_eq!((idb.linktype, idb.snaplen), (DataLink::RAW, 33));
                    names.push(format!("{:?}", idb.options[0]));
                }
                Block::EnhancedPacket(epb) => {
                    assert_eq!(epb.timestamp, Duration::from_nanos(1_700_000_000_123_456_789));
                    assert_eq!((epb.original_len, epb.data.len()), (100, 33));
                    seen.push((epb.interface_id, epb.options.len(), format!("{:?}", epb.options)));
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(names, ["IfName(\"wan\")", "IfName(\"self\")"]);
        assert_eq!(seen.iter().map(|s| (s.0, s.1)).collect::<Vec<_>>(), [(0, 4), (1, 3), (0, 3)]);
        let first = "[Comment(\"spi 0x00001000\"), Comment(\"spi 0xc4a91b02\"), \
                     Comment(\"dropped: replay_old\"), Flags(1)]";
        assert_eq!(seen[0].2, first);
    }
}
