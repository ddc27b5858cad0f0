"""A log that was cut off, written again as a whole one."""

from pathlib import Path

from mcap.records import Channel, Message, Schema
from mcap.writer import CompressionType, Writer

from robostral import __version__
from robostral.errors import ConfigError
from robostral.runtime.runlog import parts, read_records


def rewrite(log: Path, target: Path) -> tuple[int, bool]:
    """Copy the whole chunks of `log` to a new file; return the count of messages, and whether the log was whole.

    Raises:
        ConfigError: There is no log, or the new file is there already.
    """
    found = [read_records(part) for part in parts(log)]
    if target.exists():
        raise ConfigError(f"'{target}' exists; name another file with --out, or remove it first")
    count, channels = 0, dict[str, int]()
    with target.open("xb") as file:
        writer = Writer(file, compression=CompressionType.ZSTD)
        writer.start("", f"robostral {__version__}")
        for records, _ in found:
            schemas, topics = dict[int, Schema](), dict[int, int]()
            for record in records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    schema = schemas[record.schema_id]
                    if record.topic not in channels:
                        schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
                        channels[record.topic] = writer.register_channel(
                            record.topic, record.message_encoding, schema_id
                        )
                    topics[record.id] = channels[record.topic]
                elif isinstance(record, Message):
                    count += 1
                    writer.add_message(
                        topics[record.channel_id], record.log_time, record.data, record.publish_time, record.sequence
                    )
        writer.finish()  # type: ignore[no-untyped-call]
    return count, all(whole for _, whole in found)
