#include "memory/record_writer.hpp"

#include <cstring>
#include <type_traits>

#include <onced/protocol/limits.hpp>
#include <onced/protocol/result.hpp>

namespace onced::memory {

using protocol::PartEntry;
using protocol::RecordHeader;

namespace {

constexpr std::size_t align_up(std::size_t value, std::size_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

struct Shape {
  std::size_t part_table = 0;
  std::size_t names = 0;
  std::size_t values = 0;
  std::size_t record = 0;
};

// The engine checks lengths against limits.hpp before it asks; with them nothing here overflows 32 bits.
Shape shape_of(const engine::RecordImage& image) {
  ONCED_ASSERT(image.parts != nullptr && image.parts->size() <= limits::parts_max);
  ONCED_ASSERT(image.key.size() <= limits::key_bytes_max);
  Shape shape;
  shape.part_table = align_up(sizeof(RecordHeader) + image.key.size(), alignof(PartEntry));
  shape.names = shape.part_table + image.parts->size() * sizeof(PartEntry);
  std::size_t end = shape.names;
  for (const protocol::Part& part : *image.parts) {
    ONCED_ASSERT(part.name.size() <= limits::part_name_bytes_max);
    ONCED_ASSERT(part.content_type.size() <= limits::content_type_bytes_max);
    end += part.name.size() + part.content_type.size();
  }
  shape.values = align_up(end, protocol::value_alignment);
  end = shape.values;
  for (const protocol::Part& part : *image.parts) {
    ONCED_ASSERT(part.bytes.size() <= limits::value_bytes_max);
    end = align_up(end, protocol::value_alignment) + part.bytes.size();
  }
  shape.record = align_up(end, protocol::record_alignment);
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

}  // namespace

std::size_t record_bytes(const engine::RecordImage& image) {
  return shape_of(image).record;
}

void write_record(const engine::RecordImage& image, std::byte* at) {
  const Shape shape = shape_of(image);
  RecordHeader header{};
  header.record_bytes = static_cast<std::uint32_t>(shape.record);
  header.key_bytes = static_cast<std::uint32_t>(image.key.size());
  header.fresh_until_ms = image.fresh_until_ms;
  header.usable_until_ms = image.fresh_until_ms;
  header.version = image.version;
  header.cost_us = image.cost_us;
  header.function_number = image.function_number;
  header.part_count = static_cast<std::uint16_t>(image.parts->size());
  header.part_table_offset = static_cast<std::uint32_t>(shape.part_table);

  Cursor cursor(at);
  cursor.put(header);
  cursor.put(image.key);
  cursor.zero_until(shape.part_table);
  std::size_t name = shape.names;
  std::size_t value = shape.values;
  for (const protocol::Part& part : *image.parts) {
    PartEntry entry{};
    entry.bytes_offset = static_cast<std::uint32_t>(value);
    entry.name_offset = static_cast<std::uint32_t>(name);
    entry.bytes = part.bytes.size();
    entry.name_bytes = static_cast<std::uint16_t>(part.name.size());
    entry.content_type_bytes = static_cast<std::uint16_t>(part.content_type.size());
    cursor.put(entry);
    name += part.name.size() + part.content_type.size();
    value = align_up(value + part.bytes.size(), protocol::value_alignment);
  }
  for (const protocol::Part& part : *image.parts) {
    cursor.put(part.name);
    cursor.put(part.content_type);
  }
  for (const protocol::Part& part : *image.parts) {
    cursor.zero_until(align_up(cursor.offset(), protocol::value_alignment));
    cursor.put(part.bytes);
  }
  cursor.zero_until(shape.record);
}

}  // namespace onced::memory
