// Functions that are computed once: the arguments are the key, the result is the value, both as MessagePack.
//
//   auto load = onced::memoize(client, "load_prices", [](const std::string& fruit, int year) -> std::vector<double> {...});
//   onced::Result<std::vector<double>> prices = load("apples", 2024);
//
// With a Session in place of the client it is computed once in that session, whose results nobody else finds:
//
//   auto basket = onced::memoize(session, "basket", [user](int year) -> Basket {...});
//
// Works for every callable whose arguments and result msgpack-cxx can pack (containers, std::optional, std::tuple, types
// with MSGPACK_DEFINE), also types that can only be moved. A result that is a reference is shared and given as a copy.
// A call gives a Result: what the function itself throws is told to all who wait and rethrown here; that another process
// failed, or that the wait took too long, is an error in it.
//
// Foreign bytes under the key (another program uses the name for another type) are an error, `malformed`: the function is
// not called. To compute over them would hide the clash, and the two programs would replace each other's results for
// ever. Invalidate the key, or give the function another version.
//
// Identity: name, MemoizeOptions::version and the arguments, converted to the function's parameter types first: a
//           function of double has the same key for 1 and 1.0. Change the version when the function changes.
// Lifetime: refers to the client, which must outlive it; a session it keeps as a handle of its own, and the session's client must
//           outlive it. Copyable when the function is.
// Threads:  as the function.
// Errors:   those of get_or_compute(): of a session that has ended, session_ended.
// Include this before msgpack.hpp, or define MSGPACK_NO_BOOST yourself: nothing here needs Boost.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <onced/client.hpp>
#include <onced/session.hpp>
#include <onced/typed.hpp>

namespace onced {

struct MemoizeOptions {
  std::string version{};    // of the function: a part of the key
  ComputeOptions compute{};
};

namespace client_detail {
// Where results are kept: for all, or in one session.
class ForAll {
 public:
  explicit ForAll(Client& client) : client_(&client) {}
  Client& owner() const { return *client_; }
  KeyBuilder key(const std::string& function, const std::string& version) const { return KeyBuilder(function, version); }

 private:
  Client* client_;
};
class InSession {
 public:
  explicit InSession(Session session) : session_(std::move(session)) {}
  Session& owner() const { return session_; }
  KeyBuilder key(const std::string& function, const std::string& version) const { return session_.key(function, version); }

 private:
  mutable Session session_;  // a handle: asking through it changes nothing in it
};
}  // namespace client_detail

template <typename Signature, typename Function, typename Where = client_detail::ForAll>
class Memoized;

template <typename R, typename... Arguments, typename Function, typename Where>
class Memoized<R(Arguments...), Function, Where> {
  static_assert(!std::is_void_v<R>, "a function without a result has nothing to share");

 public:
  // What a call gives, and takes: copyable arguments by reference, others to move from.
  using Value = std::decay_t<R>;
  template <typename T>
  using Parameter = std::conditional_t<std::is_copy_constructible_v<std::decay_t<T>>, const std::decay_t<T>&, std::decay_t<T>&&>;

  Memoized(Where where, std::string name, Function function, MemoizeOptions options)
      : where_(std::move(where)), name_(std::move(name)), function_(std::move(function)), options_(std::move(options)) {}

  Result<Value> operator()(Parameter<Arguments>... arguments) const {
    auto key = key_of(arguments...);
    if (!key) return key.error();
    auto value = where_.owner().get_or_compute(*key, options_.compute, [&](Computation&) {
      return client_detail::packed(std::invoke(function_, std::decay_t<Arguments>(static_cast<Parameter<Arguments>>(arguments))...));
    });
    if (!value) return value.error();
    auto unpacked = client_detail::unpacked<Value>(value->bytes());
    if (unpacked) return unpacked;
    return Error{ErrorCode::malformed, "the stored result of " + name_ + " is not of the type it should be (" +
                                           unpacked.error().text + "); give the function another version when its type changes"};
  }

  // The key of a call: to invalidate it, or to subscribe to it.
  Result<Key> key_of(const std::decay_t<Arguments>&... arguments) const {
    const std::tuple<const std::decay_t<Arguments>&...> all(arguments...);
    return where_.key(name_, options_.version).arguments_msgpack(packed_tuple(all)).build();
  }

 private:
  template <typename Tuple>
  static std::string packed_tuple(const Tuple& all) {
    msgpack::sbuffer buffer;
    msgpack::packer<msgpack::sbuffer> packer(buffer);
    packer.pack_array(static_cast<std::uint32_t>(std::tuple_size_v<Tuple>));
    std::apply([&](const auto&... each) { (packer.pack(each), ...); }, all);
    return std::string(buffer.data(), buffer.size());
  }
  Where where_;
  std::string name_;
  mutable Function function_;
  MemoizeOptions options_;
};

namespace client_detail {
// The signature of a callable that is not overloaded, as std::function deduces it.
template <typename Function>
struct SignatureOf;
template <typename Signature>
struct SignatureOf<std::function<Signature>> {
  using type = Signature;
};
template <typename Function>
using Signature = typename SignatureOf<decltype(std::function(std::declval<Function>()))>::type;
}  // namespace client_detail

template <typename Function>
auto memoize(Client& client, std::string name, Function function, MemoizeOptions options = {}) {
  return Memoized<client_detail::Signature<Function>, Function>(client_detail::ForAll(client), std::move(name), std::move(function),
                                                                std::move(options));
}
template <typename Function>
auto memoize(Session session, std::string name, Function function, MemoizeOptions options = {}) {
  return Memoized<client_detail::Signature<Function>, Function, client_detail::InSession>(
      client_detail::InSession(std::move(session)), std::move(name), std::move(function), std::move(options));
}

// For overloaded and generic callables, which do not say their own: memoize_as<double(double)>(client, "f", f).
template <typename Signature, typename Function>
auto memoize_as(Client& client, std::string name, Function function, MemoizeOptions options = {}) {
  return Memoized<Signature, Function>(client_detail::ForAll(client), std::move(name), std::move(function), std::move(options));
}
template <typename Signature, typename Function>
auto memoize_as(Session session, std::string name, Function function, MemoizeOptions options = {}) {
  return Memoized<Signature, Function, client_detail::InSession>(client_detail::InSession(std::move(session)), std::move(name),
                                                                 std::move(function), std::move(options));
}

}  // namespace onced
