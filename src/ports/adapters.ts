/** Devices that are registered with a payload adapter. */

export interface RegisteredDevice {
  readonly tenant: string;
  readonly deviceId: string;
  /** Name of the adapter. */
  readonly adapter: string;
}

export interface AdapterDesk {
  /**
   * Also for a device that was not heard of yet: its first message is to be read right. False when there is no such tenant.
   * @param partition of `iot-data`, where the device's records lie
   */
  register(device: RegisteredDevice, partition: number): Promise<boolean>;
  /** Answers the adapter that the device had; null when it had none. */
  unregister(tenant: string, deviceId: string): Promise<string | null>;
  /** Name of the device's adapter; null when it has none. */
  find(tenant: string, deviceId: string): Promise<string | null>;
}
