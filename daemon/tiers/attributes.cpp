#include "tiers/attributes.hpp"

#include <onced/protocol/limits.hpp>

namespace onced::tiers {
namespace {

constexpr std::uint8_t plain_format = 1;
constexpr std::uint8_t derived_format = 2;

template <typename Number>
void add(std::string& out, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) out.push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 0xff));
}

void add_text(std::string& out, std::string_view text) {
  add(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

void add_tags(std::string& out, const std::vector<std::string>& tags) {
  add(out, static_cast<std::uint32_t>(tags.size()));
  for (const std::string& tag : tags) add_text(out, tag);
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  template <typename Number>
  bool read(Number& into) {
    if (left_.size() < sizeof(Number)) return false;
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < sizeof(Number); ++i) number |= std::uint64_t{static_cast<unsigned char>(left_[i])} << (8 * i);
    into = static_cast<Number>(number);
    left_.remove_prefix(sizeof(Number));
    return true;
  }
  bool read_text(std::string& into) {
    std::uint32_t bytes = 0;
    if (!read(bytes) || bytes > left_.size()) return false;
    into = left_.substr(0, bytes);
    left_.remove_prefix(bytes);
    return true;
  }
  bool read_tags(std::vector<std::string>& into) {
    std::uint32_t count = 0;
    if (!read(count) || count > limits::tags_max) return false;
    for (std::uint32_t i = 0; i < count; ++i)
      if (!read_text(into.emplace_back())) return false;
    return true;
  }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

bool read_upstreams(Reader& reader, std::vector<engine::DiskUpstream>& into) {
  std::uint32_t count = 0;
  if (!reader.read(count) || count == 0 || count > limits::disk_upstreams_max) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    engine::DiskUpstream& one = into.emplace_back();
    if (!reader.read_text(one.key) || !reader.read(one.identity.epoch) || !reader.read(one.identity.version) || !reader.read_tags(one.tags)) return false;
  }
  return true;
}

}  // namespace

std::string encode(const Attributes& attributes) {
  std::string out;
  add(out, attributes.upstreams.empty() ? plain_format : derived_format);
  add(out, static_cast<std::uint8_t>(attributes.was_put ? 1 : 0));
  add(out, attributes.epoch);
  add(out, attributes.fresh_until_ms);
  add_text(out, attributes.origin);
  add_tags(out, attributes.tags);
  if (attributes.upstreams.empty()) return out;
  add(out, static_cast<std::uint32_t>(attributes.upstreams.size()));
  for (const engine::DiskUpstream& upstream : attributes.upstreams) {
    add_text(out, upstream.key);
    add(out, upstream.identity.epoch);
    add(out, upstream.identity.version);
    add_tags(out, upstream.tags);
  }
  return out;
}

std::optional<Attributes> decode_attributes(std::string_view bytes) {
  Reader reader(bytes);
  Attributes attributes;
  std::uint8_t format = 0;
  std::uint8_t was_put = 0;
  if (!reader.read(format) || (format != plain_format && format != derived_format) || !reader.read(was_put) || was_put > 1 ||
      !reader.read(attributes.epoch) || !reader.read(attributes.fresh_until_ms) || !reader.read_text(attributes.origin) ||
      !reader.read_tags(attributes.tags))
    return std::nullopt;
  attributes.was_put = was_put == 1;
  if (format == derived_format && !read_upstreams(reader, attributes.upstreams)) return std::nullopt;
  return reader.at_end() ? std::optional(std::move(attributes)) : std::nullopt;
}

}  // namespace onced::tiers
