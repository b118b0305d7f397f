#!/usr/bin/env escript
%%! +S 1 +SDio 1 +sbwt none
%% Erlang/OTP, the far mark: supervised gen_servers, compiled. Same orders and answers as in child.py.
-module(erlang_peer).
-mode(compile).
-behaviour(gen_server).
-export([main/1, start/0, start/1, init/1, handle_call/3, handle_cast/2]).
-define(BURST, 1000).
-define(GROUP, 100).

main(_) ->
    io:format("Erlang/OTP ~s | tell ask spawn reborn_us idle_resident idle_traced~n", [erlang:system_info(otp_release)]),
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    serve().

serve() ->
    case io:get_line("") of
        eof -> ok;
        Line ->
            [Figure, Count] = string:lexemes(string:trim(Line), " "),
            io:format("~s~n", [answer(Figure, list_to_integer(Count))]),
            serve()
    end.

answer(Figure, Count) ->
    try io_lib:format("~w", [float(measure(Figure, Count))])
    catch Class:Reason -> io_lib:format("! ~0p ~0p", [Class, Reason])
    end.

%% The counter

start() -> gen_server:start_link({local, counter}, ?MODULE, counter, []).
start(_) -> gen_server:start_link(?MODULE, counter, []).

init(counter) -> {ok, 0};
init({one, Kills}) ->
    {ok, {#{strategy => one_for_one, intensity => Kills, period => 5}, [#{id => counter, start => {?MODULE, start, []}}]}};
init(many) ->
    {ok, {#{strategy => simple_one_for_one}, [#{id => counter, start => {?MODULE, start, []}}]}}.

handle_call(read, _, Seen) -> {reply, Seen, Seen};
handle_call(first, _, Seen) -> {reply, now_ns(), Seen}.

handle_cast({add, Number}, Seen) -> {noreply, Seen + Number};
handle_cast({first, Who}, Seen) -> Who ! {handled, now_ns()}, {noreply, Seen}.

%% The figures

measure("tell", Count) ->
    {ok, Counter} = start(alone),
    Start = now_ns(),
    [begin [gen_server:cast(Counter, {add, 1}) || _ <- lists:seq(1, ?BURST)], gen_server:call(Counter, read) end
     || _ <- lists:seq(1, Count div ?BURST)],
    Ns = now_ns() - Start,
    Count = gen_server:call(Counter, read),
    gen_server:stop(Counter),
    Count * 1.0e9 / Ns;
measure("ask", Count) ->
    {ok, Counter} = start(alone),
    Start = now_ns(),
    [gen_server:call(Counter, read) || _ <- lists:seq(1, Count)],
    Ns = now_ns() - Start,
    gen_server:stop(Counter),
    Count * 1.0e9 / Ns;
measure("spawn", Count) ->
    Ns = lists:sum([spawn_group() || _ <- lists:seq(1, Count div ?GROUP)]),
    Count * 1.0e9 / Ns;
measure("reborn_us", Count) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {one, Count + 1}),
    Ns = lists:sum([reborn() || _ <- lists:seq(1, Count)]),
    stop(Supervisor),
    Ns / Count / 1.0e3;
measure("idle_" ++ How, Count) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, many),
    erlang:garbage_collect(),
    Before = held(How),
    start_many(Supervisor, Count),
    erlang:garbage_collect(),
    Held = held(How) - Before,
    stop(Supervisor),
    Held / Count.

spawn_group() ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, many),
    Ns = lists:sum([spawn_one(Supervisor) || _ <- lists:seq(1, ?GROUP)]),
    stop(Supervisor),
    Ns.

spawn_one(Supervisor) ->
    Start = now_ns(),
    {ok, Counter} = supervisor:start_child(Supervisor, [counter]),
    gen_server:cast(Counter, {first, self()}),
    receive {handled, At} -> At - Start end.

reborn() ->
    gen_server:call(counter, read),
    Start = now_ns(),
    exit(whereis(counter), kill),
    first_answer() - Start.

first_answer() ->
    try gen_server:call(counter, first)
    catch exit:_ -> erlang:yield(), first_answer()
    end.

start_many(_, 0) -> ok;
start_many(Supervisor, Count) ->
    {ok, _} = supervisor:start_child(Supervisor, [counter]),
    start_many(Supervisor, Count - 1).

stop(Supervisor) ->
    unlink(Supervisor),
    gen_server:stop(Supervisor).

held("traced") -> erlang:memory(total);
held("resident") ->
    {ok, Statistics} = file:read_file("/proc/self/statm"),
    list_to_integer(lists:nth(2, string:lexemes(binary_to_list(Statistics), " "))) * 4096.

now_ns() -> erlang:monotonic_time(nanosecond).
