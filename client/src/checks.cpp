#include "checks.hpp"

#include <string>
#include <utility>

#include <onced/protocol/key.hpp>
#include <onced/protocol/limits.hpp>
#include <onced/protocol/utf8.hpp>

#include "errors.hpp"

namespace onced::client_detail {

namespace {

Result<void> check_name(std::string_view what, std::string_view name, std::size_t bytes_max) {
  if (name.size() > bytes_max) {
    return Error{ErrorCode::too_large, "bytes of " + std::string(what) + ": " + std::to_string(name.size()) + " > " + std::to_string(bytes_max)};
  }
  if (!protocol::is_utf8(name)) return wrong(std::string(what) + " is not UTF-8");
  return {};
}

}  // namespace

Result<void> check_key_given(std::string_view key) {
  if (key.empty()) return wrong("there is no key: it was moved from, or never made");
  const auto right = check_key(key);
  if (right) return {};
  if (right.error().code == ErrorCode::too_large) return right.error();
  return wrong("these " + std::to_string(key.size()) + " bytes are no key (" + right.error().text + "); make one with KeyBuilder");
}

Result<void> check_function(std::string_view function) {
  if (function.empty()) return wrong("a function without a name");
  return check_name("a function's name", function, limits::function_name_bytes_max);
}

Result<void> check_tag(std::string_view tag) {
  if (tag.empty()) return wrong("a tag without a name");
  return check_name("a tag", tag, limits::tag_bytes_max);
}

Result<void> check_content_type(std::string_view content_type) { return check_name("a content type", content_type, limits::content_type_bytes_max); }

}  // namespace onced::client_detail
