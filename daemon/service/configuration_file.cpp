// The only file that knows TOML. toml++ throws; nothing of that leaves here.
#include <sys/stat.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>

#include <toml++/toml.h>

#include "service/configuration.hpp"

namespace onced::service {
namespace {

constexpr std::uintmax_t file_bytes_max = 1024 * 1024;
constexpr int depth_max = 4;

std::string place_of(const std::string& path, const toml::source_region& region) {
  return path + ":" + std::to_string(region.begin.line) + ":" + std::to_string(region.begin.column);
}

// Nothing: an element is neither a string without a comma nor a whole number.
std::optional<std::string> joined(const toml::array& array) {
  std::string text;
  bool first = true;
  for (const toml::node& node : array) {
    std::string element;
    if (const auto* string = node.as_string()) element = string->get();
    else if (const auto* integer = node.as_integer()) element = std::to_string(integer->get());
    else return std::nullopt;
    if (element.empty() || element.find_first_of(",\n") != std::string::npos) return std::nullopt;
    text += (first ? "" : ",") + element;
    first = false;
  }
  return text;
}

std::optional<Error> collect(const std::string& path, const toml::table& table, const std::string& prefix, int depth,
                             std::vector<FileValue>& values) {
  for (auto&& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const toml::table* inner = node.as_table()) {
      if (depth >= depth_max) return Error{ErrorCode::invalid_argument, place_of(path, key.source()) + ": nested too deeply"};
      if (auto error = collect(path, *inner, name + ".", depth + 1, values)) return error;
      continue;
    }
    FileValue value;
    value.name = name;
    value.place = place_of(path, key.source());
    if (const auto* string = node.as_string()) {
      value.kind = FileValue::Kind::string;
      value.text = string->get();
    } else if (const auto* integer = node.as_integer()) {
      value.kind = FileValue::Kind::integer;
      value.text = std::to_string(integer->get());
    } else if (const auto* real = node.as_floating_point()) {
      value.kind = FileValue::Kind::real;
      char text[64];
      const auto end = std::to_chars(std::begin(text), std::end(text), real->get()).ptr;  // as short as possible
      value.text.assign(text, end);
    } else if (const auto* array = node.as_array()) {
      if (auto text = joined(*array)) {
        value.kind = FileValue::Kind::list;
        value.text = std::move(*text);
      }
    }
    values.push_back(std::move(value));
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<FileValue>> read_configuration_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return Error{ErrorCode::not_found, "cannot read the configuration " + path + ": " + std::strerror(errno)};
  }
  if (!S_ISREG(status.st_mode)) return Error{ErrorCode::invalid_argument, path + " is not a file"};
  if (static_cast<std::uintmax_t>(status.st_size) > file_bytes_max) {
    return Error{ErrorCode::too_large, path + " has " + std::to_string(status.st_size) + " bytes, more than " +
                                           std::to_string(file_bytes_max)};
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error{ErrorCode::not_found, "cannot read the configuration " + path + ": " + std::strerror(errno)};
  const std::string text(std::istreambuf_iterator<char>(in), {});
  try {
    const toml::table table = toml::parse(std::string_view(text), std::string_view(path));
    std::vector<FileValue> values;
    if (auto error = collect(path, table, {}, 0, values)) return *error;
    return values;
  } catch (const toml::parse_error& error) {
    return Error{ErrorCode::malformed, place_of(path, error.source()) + ": " + std::string(error.description())};
  } catch (const std::exception& error) {
    return Error{ErrorCode::malformed, path + ": " + error.what()};
  }
}

}  // namespace onced::service
