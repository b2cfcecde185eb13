/** Types of the Signalpost client. docs/client.md explains it. */

/** An error. `code` is one of the service's (docs/protocol.md), or `closed`, `lost` or `token-failed`.
 * A message that the service wouldn't understand fails as `malformed` before it is sent, with a
 * sentence as `message`: "a room's name has 1 to 128 characters". */
export class SignalpostError extends Error {
  readonly code: string;
  /** Seconds. */
  readonly retryAfter?: number;
}

export interface ClientOptions {
  /** The URL of the service's WebSocket, http(s) or ws(s). By default it's beside this module. */
  url?: string | URL;
  /** A join token from `POST /v1/tokens`, or a function that fetches one. It's called each time the
   * client connects, and has 4.5 seconds. */
  token?: string | (() => string | Promise<string>);
  /** The name that the others see. */
  name?: string;
}

export interface Tracks {
  audio?: MediaStreamTrack | null;
  video?: MediaStreamTrack | null;
}

export interface MediaOptions {
  tracks?: Tracks;
  /** `relay` hides this side's addresses from the other side. */
  iceTransportPolicy?: RTCIceTransportPolicy;
  retry?: RetryOptions;
}

/** How to look for a new path when one is lost. The defaults are given. */
export interface RetryOptions {
  /** A lost path may heal by itself for this long: 3000. */
  disconnectedMs?: number;
  /** The first wait between tries: 4000. Each further one is half as long again, */
  firstMs?: number;
  /** up to this: 15000. Each is shortened by up to a quarter, at random. */
  mostMs?: number;
  /** This many tries are ICE restarts: 2. Later ones are new connections. */
  restarts?: number;
  /** A link without a path ends after this time if its peer is gone, or if a call never had one: 60000. */
  giveUpMs?: number;
}

export type Role = "host" | "member" | "observer";

export interface Neighbour {
  readonly peer: string;
  readonly user: string;
  readonly name?: string;
  readonly role: Role;
  /** Whether this side is the polite peer towards that one. */
  readonly polite: boolean;
  readonly metadata?: unknown;
}

export interface TextDetail {
  readonly from: string;
  readonly text: string;
  readonly id?: string | number;
}

export interface SignalDetail {
  readonly from: string;
  readonly data: unknown;
}

/** An EventTarget whose events have a `detail` of a known type. */
declare class Emitter<Events> extends EventTarget {
  addEventListener<Type extends keyof Events & string>(
    type: Type,
    listener: (event: CustomEvent<Events[Type]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

export interface ClientEvents {
  state: null;
  incoming: { readonly call: Call };
  text: TextDetail;
  signal: SignalDetail;
  "ice-servers": null;
  /** An error that answers no request. */
  error: SignalpostError;
  /** `error` is null after `close`. */
  closed: { readonly error: SignalpostError | null };
}

/** Make a client and wait for its welcome. Rejects with a SignalpostError if the service refuses it.
 * While the service is unreachable it keeps trying. */
export function connect(options?: ClientOptions): Promise<Client>;

export class Client extends Emitter<ClientEvents> {
  constructor(options?: ClientOptions);
  /** Null until the first welcome. Then it never changes. */
  readonly peer: string | null;
  readonly user: string | null;
  readonly iceServers: RTCIceServer[];
  readonly state: "connecting" | "open" | "waiting" | "closed";
  readonly rooms: ReadonlyMap<string, Room>;
  /** Calls in progress, by id. */
  readonly calls: ReadonlyMap<string, Call>;
  open(): Promise<void>;
  close(): void;
  join(name: string, options?: { role?: "member" | "observer"; metadata?: unknown }): Promise<Room>;
  /** Call a user, on all of their devices. Throws a SignalpostError if it can't be a user's id. */
  call(user: string, options?: MediaOptions): Call;
  /** Resolves when the peer's client has it. */
  text(to: string, text: string): Promise<void>;
  /** Send any JSON. Resolves when the peer's client has it. */
  signal(to: string, data: unknown): Promise<void>;
}

export interface RoomEvents {
  "peer-joined": Neighbour;
  "peer-left": Neighbour;
  /** The peer was here before a restart of the service, and is here again. */
  "peer-returned": Neighbour;
  text: TextDetail;
  signal: SignalDetail;
  /** The host, lock, capacity or metadata changed. */
  changed: null;
  /** `reason` is `kicked`, `closed`, an error's code, or undefined after `leave`. */
  left: { readonly reason?: string };
}

export class Room extends Emitter<RoomEvents> {
  private constructor();
  readonly name: string;
  readonly role: Role;
  readonly locked: boolean;
  readonly capacity: number;
  readonly metadata: unknown;
  readonly closed: boolean;
  /** The other peers, by id. */
  readonly peers: ReadonlyMap<string, Neighbour>;
  /** Send to everybody. Resolves when the service has it. */
  text(text: string): Promise<void>;
  /** Send any JSON to everybody, or `to` one peer: then it resolves when that peer's client has it. */
  signal(data: unknown, options?: { to?: string }): Promise<void>;
  /** As host. */
  update(changes: { locked?: boolean; capacity?: number; metadata?: unknown }): Promise<unknown>;
  /** As host. */
  kick(peer: string): Promise<unknown>;
  leave(): Promise<void>;
}

export interface MeshEvents {
  link: { readonly peer: string; readonly link: Link };
}

/** A link with every peer in a room. Make it as soon as you have joined the room, then `start` it. */
export class Mesh extends Emitter<MeshEvents> {
  constructor(client: Client, room: Room, options?: MediaOptions);
  readonly room: Room;
  readonly links: ReadonlyMap<string, Link>;
  start(): void;
  setTrack(kind: "audio" | "video", track: MediaStreamTrack | null): Promise<unknown>;
  say(value: unknown): void;
  close(): void;
}

export type Outcome =
  | "completed"
  | "rejected"
  | "busy"
  | "cancelled"
  | "missed"
  | "unreachable"
  | "failed"
  | "lost"
  | "answered-elsewhere"
  /** The two had called each other, and the other call goes on. */
  | "merged";

export interface CallEvents {
  state: null;
  link: { readonly link: Link };
  ended: { readonly outcome: Outcome; readonly reason: string | null; readonly error: SignalpostError | null };
}

export class Call extends Emitter<CallEvents> {
  private constructor();
  readonly id: string;
  readonly direction: "outgoing" | "incoming";
  readonly user: string;
  readonly name: string | null;
  /** The device at the other end, once it has answered. */
  readonly peer: string | null;
  readonly state: "calling" | "ringing" | "incoming" | "accepted" | "connected" | "ended";
  readonly link: Link | null;
  readonly outcome: Outcome | null;
  readonly reason: string | null;
  readonly error: SignalpostError | null;
  accept(options?: MediaOptions): void;
  /** Reject the call on all of the user's devices. A reason of more than 256 characters throws. */
  reject(reason?: string): void;
  /** Say that this device is busy. */
  busy(): void;
  /** End the call in any state. */
  hangUp(reason?: string): void;
  setTrack(kind: "audio" | "video", track: MediaStreamTrack | null): Promise<void>;
}

export interface LinkEvents {
  state: null;
  track: { readonly track: MediaStreamTrack; readonly stream: MediaStream };
  /** The value that the other side gave to `say`. */
  message: unknown;
  closed: null;
}

export class Link extends Emitter<LinkEvents> {
  constructor(options: MediaOptions & {
    id: string;
    polite: boolean;
    /** Whether this side makes the first offer. */
    offers: boolean;
    iceServers: RTCIceServer[];
    send(data: LinkSignal): void;
    /** Whether the peer is still there. Then its link is never given up. */
    persistent?(): boolean;
    /** The first generation: 1. */
    generation?: number;
  });
  readonly id: string;
  /** The current connection. If its path is lost for long, another takes its place. */
  readonly pc: RTCPeerConnection;
  /** How many connections this link has had. */
  readonly generation: number;
  /** The other side's media: one stream for all connections. */
  readonly stream: MediaStream;
  readonly state: "connecting" | "connected" | "interrupted" | "closed";
  /** Take a signal from the other side's `send`. */
  take(data: LinkSignal): Promise<void>;
  setTrack(kind: "audio" | "video", track: MediaStreamTrack | null): Promise<void>;
  /** Send JSON over the data channel. False if it isn't open. Throws a SignalpostError if the value
   * can't be written as JSON, or is larger than the other side accepts. */
  say(value: unknown): boolean;
  setIceServers(iceServers: RTCIceServer[]): void;
  /** Restart ICE. */
  restart(): void;
  statistics(): Promise<Statistics>;
  /** Close the link for good. The other side is told, unless `tell` is false. */
  close(options?: { tell?: boolean }): void;
}

/** A signal between links, sent through the service. */
export interface LinkSignal {
  readonly link?: string;
  /** The generation of the connection that this is about. The default is 1. */
  readonly generation?: number;
  /** The link was closed for good. */
  readonly closed?: boolean;
  /** This generation is useless. Its offerer should begin another. */
  readonly again?: number;
  readonly description?: RTCSessionDescriptionInit | null;
  readonly candidate?: RTCIceCandidateInit | null;
}

/** Rates are bits per second since the last call, `rtt` is in milliseconds, `loss` is from 0 to 1, and
 * null is unknown. */
export interface Statistics {
  readonly path: "direct" | "relayed" | "unknown";
  /** The protocol to the relay, if there is one: `udp`, `tcp` or `tls`. */
  readonly protocol: string | null;
  readonly localType: RTCIceCandidateType | null;
  readonly remoteType: RTCIceCandidateType | null;
  readonly rtt: number | null;
  readonly loss: number | null;
  readonly sendRate: number | null;
  readonly receiveRate: number | null;
  readonly framesDecoded: number;
  readonly framesPerSecond: number | null;
  readonly width: number | null;
  readonly height: number | null;
}

export function quality(statistics: Pick<Statistics, "path" | "rtt" | "loss">): "good" | "fair" | "poor" | "unknown";

export type Missing = "insecure" | "refused" | "absent" | "busy" | "failed";

/** Open as much of it as possible: true for any device, or a device's id. Never rejects. */
export function openMedia(wanted?: { audio?: boolean | string; video?: boolean | string }): Promise<{
  tracks: { audio: MediaStreamTrack | null; video: MediaStreamTrack | null };
  missing: { audio?: Missing; video?: Missing };
}>;

/** A track of the screen, null if the user refuses. */
export function openScreen(): Promise<MediaStreamTrack | null>;

export interface Device {
  readonly id: string;
  readonly label: string;
}

export function devices(): Promise<{ audio: Device[]; video: Device[] }>;
