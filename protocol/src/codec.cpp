// Messages to and from bytes, by the tables of fields.hpp. Exceptions of msgpack-cxx end here.
#include <algorithm>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include <msgpack.hpp>

#include <onced/protocol/frame.hpp>
#include <onced/protocol/key.hpp>
#include <onced/protocol/messages.hpp>
#include <onced/protocol/segment.hpp>
#include <onced/protocol/session.hpp>

#include "fields.hpp"
#include "pack.hpp"
#include <onced/protocol/utf8.hpp>

namespace onced::protocol {
namespace {

template <typename T>
concept Described = requires { Fields<T>::fields; };

// ---- encoding -------------------------------------------------------------------------------------------------------

class Encoder {
 public:
  explicit Encoder(std::string& out) : sink_{out}, packer_(sink_) {}

  template <Described Message>
  void put(const Message& message, PlainRule = {}) {
    std::apply(
        [&](const auto&... field) {
          packer_.pack_array(sizeof...(field));
          (put(message.*field.member, field.rule), ...);
        },
        Fields<Message>::fields);
  }

 private:
  struct Sink {
    std::string& out;
    void write(const char* bytes, std::size_t size) { out.append(bytes, size); }
  };

  void put(bool value, PlainRule) { value ? packer_.pack_true() : packer_.pack_false(); }
  template <std::unsigned_integral Number>
  void put(Number value, PlainRule) {
    packer_.pack_uint64(value);
  }
  // Not by the packer, which would write 1.0 as the integer 1: numbers of reports keep their type.
  void put(double value, PlainRule) { pack_real(sink_.out, value); }
  template <typename Enum>
    requires std::is_enum_v<Enum>
  void put(Enum value, PlainRule) {
    packer_.pack_uint64(static_cast<std::uint64_t>(value));
  }
  void put(const std::string& text, NameRule) { put_text(text); }
  void put(const std::string& text, TextRule rule) {
    if (text.size() <= rule.bytes_max && is_utf8(text)) return put_text(text);
    // Other people's words (an exception's, a command's): they must never make a message unreadable.
    const std::string repaired = repaired_utf8(cut_utf8(text, rule.bytes_max));
    put_text(cut_utf8(repaired, rule.bytes_max));
  }
  void put(const std::string& bytes, BytesRule) { put_bytes(bytes); }
  void put(const std::string& key, KeyRule) { put_bytes(key); }
  template <typename Element, typename Rule>
  void put(const std::vector<Element>& elements, const ListRule<Rule>& rule) {
    packer_.pack_array(static_cast<std::uint32_t>(elements.size()));
    for (const Element& element : elements) put(element, rule.element);
  }
  void put(const std::pair<std::string, Number>& report_field, PlainRule) {
    packer_.pack_array(2);
    put(report_field.first, text_rule);
    std::visit(
        [&](const auto& value) {
          if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>) put(value, text_rule);
          else put(value, PlainRule{});
        },
        report_field.second);
  }

  void put_text(std::string_view text) {
    packer_.pack_str(static_cast<std::uint32_t>(text.size()));
    packer_.pack_str_body(text.data(), static_cast<std::uint32_t>(text.size()));
  }
  void put_bytes(std::string_view bytes) {
    packer_.pack_bin(static_cast<std::uint32_t>(bytes.size()));
    packer_.pack_bin_body(bytes.data(), static_cast<std::uint32_t>(bytes.size()));
  }

  Sink sink_;
  msgpack::packer<Sink> packer_;
};

// Makes a message smaller whose frame is above the limit; false when it cannot. What is left out can be asked for, or
// is marked.
template <typename Message>
bool shorten(Message&) {
  return false;
}
template <typename Element>
bool halve(std::vector<Element>& elements) {
  if (elements.empty()) return false;
  elements.resize(elements.size() / 2);
  return true;
}
template <>
bool shorten(State& state) {
  state.truncated = true;
  return halve(state.entries);
}
template <>
bool shorten(Listing& listing) {
  if (listing.rows.size() < 2) return false;
  listing.rows.resize(listing.rows.size() / 2);
  listing.cursor = listing.rows.back().key;
  return true;
}
template <>
bool shorten(Statistics& statistics) {
  statistics.truncated = true;
  return halve(statistics.functions);
}
template <>
bool shorten(Explanation& explanation) {
  return halve(explanation.upstreams) || halve(explanation.lines);
}

template <Described Message>
void encode_message(RequestId id, std::uint16_t type, const Message& message, std::string& out) {
  const std::size_t begin = out.size();
  out.append(frame_header_bytes, '\0');
  Encoder(out).put(message);
  const std::size_t payload_bytes = out.size() - begin - frame_header_bytes;
  if (payload_bytes > limits::frame_payload_bytes_max) {
    Message shorter = message;
    if (shorten(shorter)) {
      out.resize(begin);
      return encode_message(id, type, shorter, out);
    }
  }
  ONCED_ASSERT(payload_bytes <= std::numeric_limits<std::uint32_t>::max());
  encode_header({static_cast<std::uint32_t>(payload_bytes), type, id}, reinterpret_cast<std::uint8_t*>(out.data()) + begin);
}

// ---- decoding -------------------------------------------------------------------------------------------------------

// Containers inside of each other: message, list, row, report, pair and some more for fields that we do not know.
constexpr std::size_t depth_max = 12;
constexpr std::size_t elements_max = 8192;

// Walks the objects that msgpack-cxx has parsed. Every function says whether the value was good; the first mistake
// is kept with the field it is in.
class Decoder {
 public:
  template <Described Message>
  bool take(const msgpack::object& object, Message& message, PlainRule = {}) {
    if (object.type != msgpack::type::ARRAY) return wrong_type("an array");
    const auto& array = object.via.array;
    if (array.size < Fields<Message>::required)
      return fail(ErrorCode::malformed, "has " + std::to_string(array.size) + " fields, of " +
                                            std::to_string(Fields<Message>::required) + " that must be there");
    std::uint32_t number = 0;
    const auto take_field = [&](const auto& field) {
      if (number == array.size) return true;  // left out by an older peer: keeps its default
      if constexpr (std::is_same_v<Message, Hello>) {
        // A peer of another version is told so, whatever its hello goes on with.
        if (number >= Fields<Hello>::required && message.protocol_version != limits::protocol_version) return true;
      }
      if (take(array.ptr[number++], message.*field.member, field.rule)) return true;
      path_.insert(0, field.name).insert(0, ".");
      return false;
    };
    const bool good = std::apply([&](const auto&... field) { return (take_field(field) && ...); }, Fields<Message>::fields);
    return good && check(message);
  }

  Error error(std::string_view message) && {
    return {error_.code, std::string(message) + path_ + ": " + error_.text};
  }

 private:
  bool fail(ErrorCode code, std::string text) {
    error_ = {code, std::move(text)};
    return false;
  }
  bool wrong_type(std::string_view wanted) { return fail(ErrorCode::malformed, "is not " + std::string(wanted)); }
  bool too_large(std::string_view what, std::size_t is, std::size_t limit) {
    return fail(ErrorCode::too_large, std::string(what) + " " + std::to_string(is) + " > " + std::to_string(limit));
  }

  bool take(const msgpack::object& object, bool& value, PlainRule) {
    if (object.type != msgpack::type::BOOLEAN) return wrong_type("true or false");
    value = object.via.boolean;
    return true;
  }
  template <std::unsigned_integral Number>
  bool take(const msgpack::object& object, Number& value, PlainRule) {
    if (object.type != msgpack::type::POSITIVE_INTEGER) return wrong_type("a number from 0");
    if (object.via.u64 > std::numeric_limits<Number>::max())
      return fail(ErrorCode::malformed, std::to_string(object.via.u64) + " > " + std::to_string(std::numeric_limits<Number>::max()));
    value = static_cast<Number>(object.via.u64);
    return true;
  }
  // Other languages write 1.0 as the integer 1.
  bool take(const msgpack::object& object, double& value, PlainRule) {
    switch (object.type) {
      case msgpack::type::FLOAT32:
      case msgpack::type::FLOAT64: value = object.via.f64; return true;
      case msgpack::type::POSITIVE_INTEGER: value = static_cast<double>(object.via.u64); return true;
      case msgpack::type::NEGATIVE_INTEGER: value = static_cast<double>(object.via.i64); return true;
      default: return wrong_type("a number");
    }
  }
  template <typename Enum>
    requires std::is_enum_v<Enum>
  bool take(const msgpack::object& object, Enum& value, PlainRule rule) {
    std::underlying_type_t<Enum> number = 0;
    if (!take(object, number, rule)) return false;
    if (number > static_cast<std::underlying_type_t<Enum>>(last_of<Enum>))
      return fail(ErrorCode::malformed, "has no meaning for " + std::to_string(number));
    value = static_cast<Enum>(number);
    return true;
  }
  bool take(const msgpack::object& object, std::string& text, NameRule rule) { return take_text(object, text, rule.bytes_max); }
  bool take(const msgpack::object& object, std::string& text, TextRule rule) { return take_text(object, text, rule.bytes_max); }
  bool take(const msgpack::object& object, std::string& bytes, BytesRule rule) {
    if (object.type != msgpack::type::BIN) return wrong_type("bytes");
    if (object.via.bin.size > rule.bytes_max) return too_large("bytes", object.via.bin.size, rule.bytes_max);
    bytes.assign(object.via.bin.ptr, object.via.bin.size);
    return true;
  }
  bool take(const msgpack::object& object, std::string& key, KeyRule) {
    if (object.type != msgpack::type::BIN) return wrong_type("bytes");
    const std::string_view bytes(object.via.bin.ptr, object.via.bin.size);
    if (!check(bytes)) return false;
    key.assign(bytes);
    return true;
  }
  template <typename Element, typename Rule>
  bool take(const msgpack::object& object, std::vector<Element>& elements, const ListRule<Rule>& rule) {
    if (object.type != msgpack::type::ARRAY) return wrong_type("an array");
    const auto& array = object.via.array;
    if (array.size > rule.count_max) return too_large("elements", array.size, rule.count_max);
    elements.resize(array.size);
    for (std::uint32_t i = 0; i < array.size; ++i)
      if (!take(array.ptr[i], elements[i], rule.element)) return false;
    return true;
  }
  bool take(const msgpack::object& object, std::pair<std::string, Number>& report_field, PlainRule) {
    if (object.type != msgpack::type::ARRAY || object.via.array.size < 2) return wrong_type("a name and a value");
    const msgpack::object* pair = object.via.array.ptr;
    if (!take(pair[0], report_field.first, text_rule)) return false;
    switch (pair[1].type) {
      case msgpack::type::POSITIVE_INTEGER: report_field.second = pair[1].via.u64; return true;
      case msgpack::type::FLOAT32:
      case msgpack::type::FLOAT64: report_field.second = pair[1].via.f64; return true;
      case msgpack::type::STR: return take(pair[1], report_field.second.emplace<std::string>(), text_rule);
      default: return wrong_type("a number or text");
    }
  }

  bool take_text(const msgpack::object& object, std::string& text, std::size_t bytes_max) {
    if (object.type != msgpack::type::STR) return wrong_type("text");
    const std::string_view bytes(object.via.str.ptr, object.via.str.size);
    if (bytes.size() > bytes_max) return too_large("bytes", bytes.size(), bytes_max);
    if (!is_utf8(bytes)) return fail(ErrorCode::malformed, "is not UTF-8");
    text.assign(bytes);
    return true;
  }

  // What holds for a whole structure and not for one field of it.
  template <typename Message>
  bool check(const Message&) {
    return true;
  }
  bool check(std::string_view key) {
    const Result<void> checked = check_key(key);
    return checked || fail(checked.error().code, checked.error().text);
  }
  bool check(const Hello& hello) {
    return hello.magic == Hello().magic || fail(ErrorCode::malformed, "does not begin with \"onced\"");
  }
  bool check(const Part& part) {
    if (part.blob == 0)
      return (part.offset == 0 && part.length == 0) || fail(ErrorCode::malformed, "is inline and has a place in a blob");
    if (!part.bytes.empty()) return fail(ErrorCode::malformed, "is in a blob and has bytes of its own");
    if (part.offset % value_alignment != 0) return fail(ErrorCode::malformed, "begins in its blob at " + std::to_string(part.offset) + ", which is no multiple of " + std::to_string(value_alignment));
    if (part.length > limits::part_bytes_max) return too_large("bytes", part.length, limits::part_bytes_max);
    // No overflow: an offset is below the largest blob's size.
    return part.offset < limits::part_bytes_max || fail(ErrorCode::malformed, "begins behind the largest blob");
  }
  bool check(const Scope& scope) {
    switch (scope.kind) {
      case ScopeKind::key: return check(std::string_view(scope.subject));
      case ScopeKind::function:
        if (scope.subject.size() > limits::function_name_bytes_max)
          return too_large("bytes of a function name", scope.subject.size(), limits::function_name_bytes_max);
        return (!scope.subject.empty() && is_utf8(scope.subject)) ||
               fail(ErrorCode::malformed, "is no function name");
      case ScopeKind::tag:
        if (scope.subject.size() > limits::tag_bytes_max) return too_large("bytes of a tag", scope.subject.size(), limits::tag_bytes_max);
        return (!scope.subject.empty() && is_utf8(scope.subject)) || fail(ErrorCode::malformed, "is no tag");
      case ScopeKind::everything:
        return scope.subject.empty() || fail(ErrorCode::malformed, "names everything and something besides");
      case ScopeKind::session:
        return session_number_in(scope.subject) || fail(ErrorCode::malformed, "is no number of a session");
    }
    return false;
  }

  bool check(const Signal& signal) {
    if (signal.event != SignalEvent::session_ended) return check(std::string_view(signal.key));
    return signal.key.empty() || fail(ErrorCode::malformed, "tells the end of a session and names a key");
  }
  bool check(const Reserve& reserve) { return reserve.key.empty() || check(std::string_view(reserve.key)); }
  bool check(const UpstreamRow& row) { return row.origin.empty() || check(std::string_view(row.origin)); }
  bool check(const Retention& retention) {
    for (const std::string& tag : retention.tags)
      if (tag.empty()) return fail(ErrorCode::malformed, "has a tag without a name");
    std::size_t bytes = 0;
    for (const Dependency& dependency : retention.depends_on) bytes += dependency.key.size();
    return bytes <= limits::dependencies_bytes_max || too_large("bytes of keys", bytes, limits::dependencies_bytes_max);
  }
  bool only_tag_of_invalidate(const Scope& scope) {
    return scope.kind != ScopeKind::tag || fail(ErrorCode::malformed, "is about a tag, which only Invalidate takes");
  }
  bool check(const Cancel& cancel) { return only_tag_of_invalidate(cancel.scope); }
  bool check(const Subscribe& subscribe) { return only_tag_of_invalidate(subscribe.scope); }

  Error error_;
  std::string path_;  // of the field that error_ is about: ".held.counter"
};

// Text and bytes stay where they are in the payload; the decoder copies what it keeps.
bool referenced(msgpack::type::object_type, std::size_t, void*) { return true; }

template <typename Message>
Error elements_overflow(std::string_view payload) {
  const std::string message(Fields<Message>::name);
  if (payload.size() < elements_max)
    return {ErrorCode::malformed, message + ": claims more elements than its " + std::to_string(payload.size()) + " bytes can hold"};
  return {ErrorCode::too_large, message + ": more than " + std::to_string(elements_max) + " elements in an array"};
}

template <typename Alternatives, typename Message>
Result<Alternatives> decode_message(std::string_view payload) {
  // Objects only, freed at the next message; the zone keeps its first chunk.
  thread_local msgpack::zone zone;
  zone.clear();
  try {
    // No array or map has more elements than the payload has bytes: nothing large is allocated for a mere claim.
    const std::size_t elements = std::min(payload.size(), elements_max);
    const msgpack::unpack_limit limit(elements, elements, limits::frame_payload_bytes_max, limits::frame_payload_bytes_max,
                                      limits::frame_payload_bytes_max, depth_max);
    std::size_t offset = 0;
    bool has_references = false;
    const msgpack::object object =
        msgpack::unpack(zone, payload.data(), payload.size(), offset, has_references, referenced, nullptr, limit);
    if (offset != payload.size())
      return Error{ErrorCode::malformed, std::string(Fields<Message>::name) + ": " +
                                             std::to_string(payload.size() - offset) + " bytes follow the message"};
    Alternatives result(std::in_place_type<Message>);
    Decoder decoder;
    if (!decoder.take(object, std::get<Message>(result))) return std::move(decoder).error(Fields<Message>::name);
    return result;
  } catch (const msgpack::array_size_overflow&) {
    return elements_overflow<Message>(payload);
  } catch (const msgpack::map_size_overflow&) {
    return elements_overflow<Message>(payload);
  } catch (const msgpack::size_overflow& error) {
    return Error{ErrorCode::too_large, std::string(Fields<Message>::name) + ": " + error.what()};
  } catch (const msgpack::unpack_error& error) {
    return Error{ErrorCode::malformed, std::string(Fields<Message>::name) + ": " + error.what()};
  }
}

template <typename Alternatives, std::size_t... Index>
Result<Alternatives> decode_alternative(std::size_t number, std::string_view payload, std::index_sequence<Index...>) {
  using Decode = Result<Alternatives> (*)(std::string_view);
  static constexpr Decode decoders[] = {&decode_message<Alternatives, std::variant_alternative_t<Index, typename Alternatives::Variant>>...};
  return decoders[number](payload);
}

template <typename Alternatives>
Result<Alternatives> decode(std::uint16_t type, std::uint16_t first_type, std::string_view payload, std::string_view kind) {
  constexpr std::size_t count = std::variant_size_v<typename Alternatives::Variant>;
  if (type < first_type || type >= first_type + count)
    return Error{ErrorCode::malformed, std::to_string(type) + " is not the type of a " + std::string(kind)};
  if (payload.size() > limits::frame_payload_bytes_max)
    return Error{ErrorCode::too_large, "bytes of a payload " + std::to_string(payload.size()) + " > " +
                                           std::to_string(limits::frame_payload_bytes_max)};
  return decode_alternative<Alternatives>(static_cast<std::size_t>(type - first_type), payload, std::make_index_sequence<count>());
}

}  // namespace

void encode(RequestId id, const Request& request, std::string& out) {
  std::visit([&](const auto& message) { encode_message(id, type_of(request), message, out); }, request);
}

void encode(RequestId id, const Reply& reply, std::string& out) {
  std::visit([&](const auto& message) { encode_message(id, type_of(reply), message, out); }, reply);
}

Result<Request> decode_request(std::uint16_t type, std::string_view payload) {
  return decode<Request>(type, first_request_type, payload, "request");
}

Result<Reply> decode_reply(std::uint16_t type, std::string_view payload) {
  return decode<Reply>(type, first_reply_type, payload, "reply");
}

}  // namespace onced::protocol
