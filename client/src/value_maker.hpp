// Makes Values: the only door to their inside, besides Attachment.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <onced/value.hpp>

namespace onced {

namespace client_detail {
struct OwnedBytes {
  std::string bytes;
  std::string content_type;
};
}  // namespace client_detail

struct ValueMaker {
  static Value owned(std::string bytes, std::string_view content_type, std::uint64_t version, std::uint64_t cost_us,
                     bool computed_here = false) {
    Value value;
    value.owned_ = new client_detail::OwnedBytes{std::move(bytes), std::string(content_type)};
    value.bytes_ = std::as_bytes(std::span(value.owned_->bytes));
    value.content_type_ = value.owned_->content_type;
    value.version_ = version;
    value.cost_us_ = cost_us;
    value.computed_here_ = computed_here;
    return value;
  }
  static void set_version(Value& value, std::uint64_t version) { value.version_ = version; }
};

}  // namespace onced
