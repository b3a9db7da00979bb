#include "memory/record_writer.hpp"

#include <cstring>
#include <type_traits>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/result.hpp>

#include "memory/pages.hpp"

namespace onced::memory {

using protocol::PartEntry;
using protocol::RecordHeader;

namespace {

struct Shape {
  bool plain = false;
  std::size_t part_table = 0;  // not plain
  std::size_t names = 0;
  std::size_t values = 0;
  std::size_t record = 0;
};

// The engine checks lengths against limits.hpp before it asks; with them nothing here overflows 32 bits.
Shape shape_of(const engine::RecordImage& image) {
  ONCED_ASSERT(image.parts != nullptr && image.parts->size() <= limits::parts_max);
  ONCED_ASSERT(image.key.size() <= limits::key_bytes_max);
  const auto& parts = *image.parts;
  Shape shape;
  shape.plain = parts.size() == 1 && parts.front().name.empty() && parts.front().blob == 0;
  const std::size_t key_end = sizeof(RecordHeader) + image.key.size();
  shape.part_table = align_up(key_end, alignof(PartEntry));
  shape.names = shape.plain ? key_end : shape.part_table + parts.size() * sizeof(PartEntry);
  std::size_t end = shape.names;
  for (const protocol::Part& part : parts) {
    ONCED_ASSERT(part.name.size() <= limits::part_name_bytes_max);
    ONCED_ASSERT(part.content_type.size() <= limits::content_type_bytes_max);
    end += part.name.size() + part.content_type.size();
  }
  shape.values = protocol::value_offset_from(end);
  end = shape.values;
  for (const protocol::Part& part : parts) {
    if (part.blob != 0) continue;
    ONCED_ASSERT(part.bytes.size() <= limits::value_bytes_max);
    end = protocol::value_offset_from(end) + part.bytes.size();
  }
  shape.record = align_up(end, protocol::record_unit);
  return shape;
}

// Fills a record from its start to its end, with zeroes where nothing is put.
class Cursor {
 public:
  explicit Cursor(std::byte* at) : at_(at) {}
  std::size_t offset() const { return offset_; }

  void zero_until(std::size_t offset) {
    std::memset(at_ + offset_, 0, offset - offset_);
    offset_ = offset;
  }
  void put(std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(at_ + offset_, bytes.data(), bytes.size());
    offset_ += bytes.size();
  }
  template <typename Plain>
  requires std::is_trivially_copyable_v<Plain>
  void put(const Plain& plain) {
    std::memcpy(at_ + offset_, &plain, sizeof plain);
    offset_ += sizeof plain;
  }

 private:
  std::byte* at_;
  std::size_t offset_ = 0;
};

void put_part_table(const engine::RecordImage& image, const Shape& shape, Cursor& cursor) {
  cursor.zero_until(shape.part_table);
  std::size_t name = shape.names;
  std::size_t value = shape.values;
  for (const protocol::Part& part : *image.parts) {
    PartEntry entry{};
    entry.blob = part.blob;
    entry.bytes_offset = static_cast<std::uint32_t>(part.blob == 0 ? value : part.offset);
    entry.name_offset = static_cast<std::uint32_t>(name);
    entry.bytes = part.size();
    entry.name_bytes = static_cast<std::uint16_t>(part.name.size());
    entry.content_type_bytes = static_cast<std::uint16_t>(part.content_type.size());
    cursor.put(entry);
    name += part.name.size() + part.content_type.size();
    if (part.blob == 0) value = protocol::value_offset_from(value + part.bytes.size());
  }
}

}  // namespace

std::size_t record_bytes(const engine::RecordImage& image) {
  return shape_of(image).record;
}

void write_record(const engine::RecordImage& image, std::byte* at) {
  const Shape shape = shape_of(image);
  RecordHeader header{};
  static_assert(limits::functions_max <= 65536);
  header.record_bytes = static_cast<std::uint32_t>(shape.record);
  header.key_bytes = static_cast<std::uint32_t>(image.key.size());
  header.fresh_until_ms = image.fresh_until_ms;
  header.early_ms = image.early_ms;
  header.grace_ms = image.grace_ms;
  header.version = image.version;
  header.cost_us = image.cost_us;
  header.function_number = static_cast<std::uint16_t>(image.function_number);
  header.part_count = static_cast<std::uint16_t>(image.parts->size());
  header.parts_offset = static_cast<std::uint32_t>(shape.plain ? shape.values : shape.part_table);
  if (shape.plain) {
    static_assert(limits::content_type_bytes_max <= 255);
    header.flags = protocol::record_plain;
    header.plain_type_bytes = static_cast<std::uint8_t>(image.parts->front().content_type.size());
    header.plain_bytes = static_cast<std::uint32_t>(image.parts->front().bytes.size());
  }

  Cursor cursor(at);
  cursor.put(header);
  cursor.put(image.key);
  if (!shape.plain) put_part_table(image, shape, cursor);
  for (const protocol::Part& part : *image.parts) {
    cursor.put(part.name);
    cursor.put(part.content_type);
  }
  for (const protocol::Part& part : *image.parts) {
    if (part.blob != 0) continue;
    cursor.zero_until(protocol::value_offset_from(cursor.offset()));
    cursor.put(part.bytes);
  }
  cursor.zero_until(shape.record);
}

}  // namespace onced::memory
