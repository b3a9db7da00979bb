// Numbers and texts in the bytes that the store keeps for the engine without looking at them: numbers little-endian, texts with their length
// (4 bytes) before them.
//
// Errors: a reader that comes to the end gives false, and is of no use from there on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace onced::tiers {

template <typename Number>
void pack(std::string& out, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) out.push_back(static_cast<char>(static_cast<std::uint64_t>(number) >> (8 * i) & 0xff));
}

inline void pack_text(std::string& out, std::string_view text) {
  pack(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

class Unpacker {
 public:
  explicit Unpacker(std::string_view bytes) : left_(bytes) {}

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

}  // namespace onced::tiers
