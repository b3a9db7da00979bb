#include "not_stored.hpp"

#include <string>
#include <string_view>

namespace onced::client_detail {
namespace {

using protocol::NotStored;

std::string_view advice_on(NotStored why) {
  switch (why) {
    case NotStored::invalidated:
    case NotStored::upstream_invalidated: return "; that needs no mending: the next one who asks computes it from what is there now";
    case NotStored::superseded: return "; that needs no mending: whoever asks gets the other value";
    case NotStored::too_large:
    case NotStored::not_worth_it: return "; a larger segment (the daemon's setting memory) has room for it";
    case NotStored::no_room: return "; more readers than memory: a larger segment (the daemon's setting memory), or readers that let go sooner, make room";
    case NotStored::upstreams_full:
      return "; a larger memory does not help: record fewer upstreams (ComputeOptions::record_dependencies, depends_on), or for fewer values";
    case NotStored::session_full:   // what happened
    case NotStored::function_full:  // names the setting
    case NotStored::not_said: break;
  }
  return "";
}

ErrorCode code_of(NotStored why) {
  switch (why) {
    case NotStored::invalidated:
    case NotStored::superseded:
    case NotStored::upstream_invalidated: return ErrorCode::unknown_token;
    case NotStored::upstreams_full: return ErrorCode::limit_reached;
    case NotStored::not_said:
    case NotStored::too_large:
    case NotStored::session_full:
    case NotStored::function_full:
    case NotStored::not_worth_it:
    case NotStored::no_room: break;
  }
  return ErrorCode::out_of_memory;
}

}  // namespace

Error why_not_stored(const protocol::Published& published) {
  const std::string happened = published.why == NotStored::not_said ? "the daemon does not say why; `oncectl explain` does" : published.text;
  return {code_of(published.why), "only those who waited have it: " + happened + std::string(advice_on(published.why))};
}

}  // namespace onced::client_detail
