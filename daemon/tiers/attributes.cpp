#include "tiers/attributes.hpp"

#include <onced/protocol/limits.hpp>

namespace onced::tiers {
namespace {

constexpr std::uint8_t format = 1;

template <typename Number>
void add(std::string& out, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) out.push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 0xff));
}

void add_text(std::string& out, std::string_view text) {
  add(out, static_cast<std::uint32_t>(text.size()));
  out += text;
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
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

}  // namespace

std::string encode(const Attributes& attributes) {
  std::string out;
  add(out, format);
  add(out, static_cast<std::uint8_t>(attributes.was_put ? 1 : 0));
  add(out, attributes.epoch);
  add(out, attributes.fresh_until_ms);
  add_text(out, attributes.origin);
  add(out, static_cast<std::uint32_t>(attributes.tags.size()));
  for (const std::string& tag : attributes.tags) add_text(out, tag);
  return out;
}

std::optional<Attributes> decode_attributes(std::string_view bytes) {
  Reader reader(bytes);
  Attributes attributes;
  std::uint8_t its_format = 0;
  std::uint8_t was_put = 0;
  std::uint32_t tags = 0;
  if (!reader.read(its_format) || its_format != format || !reader.read(was_put) || was_put > 1 || !reader.read(attributes.epoch) ||
      !reader.read(attributes.fresh_until_ms) || !reader.read_text(attributes.origin) || !reader.read(tags) || tags > limits::tags_max)
    return std::nullopt;
  attributes.was_put = was_put == 1;
  for (std::uint32_t i = 0; i < tags; ++i)
    if (!reader.read_text(attributes.tags.emplace_back())) return std::nullopt;
  return reader.at_end() ? std::optional(std::move(attributes)) : std::nullopt;
}

}  // namespace onced::tiers
